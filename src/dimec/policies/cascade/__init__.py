"""The cascade: at each point of an input's way, the step of the highest expected utility.

Before any layer, after each exit of the first tier and after each further tier there is a *point*.
At each the policy may answer with what the last exit said, run on to the next exit, or send the
text to a further tier. The utility of a step is P(right) of what it leads to, less λ times what is
spent for it from here on: money that is spent stays spent. One number λ traces the whole curve of
accuracy against cost; every single tier, thresholds on the confidence at each exit and routers by
the first look are special cases.

The expectations are fitted by backward induction on a validation split
(:mod:`dimec.policies.cascade.induction`), from features of the exits seen
(:mod:`dimec.policies.cascade.features`) by small regularised linear models of several capacities,
weighed by cross-validation (:mod:`dimec.policies.cascade.linear`). What is stored is their weights.

The method is dimec's. Backward induction over a sequence of classifiers with costs is Trapeznikov &
Saligrama's (AISTATS 2013); what it takes to defer to a better model is P(that one is right) less
P(this one is), as in Jitkrittum et al. (arXiv 2307.02764).
"""
