"""High-stakes reliability: a filter that must let no catastrophe through, and the attacks that try.

In the order of an experiment: `dataset` labels positions of play, `fit` trains a filter on them and `calibrate` chooses
its threshold; `attack_runs` has `attacks` look for adversarial examples in their `environment`, `harden` trains
the next filter on what they found, and `measure` says what an example costs. `adversarial_training` does all of
it, as its `spec` says, and `outcome` makes the figures.
"""
