"""Attacks on the blunder filter, one file each, found by the entry-point group `sandwich.attacks`.

What an attack of one's own needs is here; docs/tutorials/writing-an-attack.md explains it.
"""

from sandwich.highstakes.attacks.base import Attack
from sandwich.highstakes.environment import AdversarialExample, AttackData, AttackEnvironment, BudgetExhausted, Verdict

__all__ = ["AdversarialExample", "Attack", "AttackData", "AttackEnvironment", "BudgetExhausted", "Verdict"]
