"""Games as Gymnasium environments, and the policy that is trained in them."""
