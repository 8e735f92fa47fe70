"""The tier server: one tier's graph behind the Open Inference Protocol v2.

A request's way: :mod:`~dimec.serving.connection` (HTTP within limits) → :mod:`~dimec.serving.app`
(who asks, what for) → :mod:`~dimec.serving.infer` (body, checks, answer) →
:mod:`~dimec.serving.batching` and :mod:`~dimec.serving.entries` (queue) →
:mod:`~dimec.serving.model` (graph). What happened goes
into :mod:`~dimec.serving.metrics` and :mod:`~dimec.serving.logs`;
:mod:`~dimec.serving.server` starts and stops it all.

This package is imported by the command line only, inside the command: it needs the extra
``dimec[serve]``.
"""
