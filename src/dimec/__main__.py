"""``python -m dimec``, which ``accelerate launch -m dimec train …`` also starts."""

from dimec.cli import main

if __name__ == "__main__":
    main()
