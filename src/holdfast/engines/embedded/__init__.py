"""What embedded engines share: group commit, waiting for commits, the guard against forks."""
