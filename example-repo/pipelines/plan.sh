#!/bin/sh
# A pull request's job in any CI: checks the specs, and writes the plan that the
# change would lead to into plan.md, for a comment. It needs MUSTER_URL and
# MUSTER_TOKEN. It fails where a document does not hold; a plan that would be
# held is told, and is for people to judge.
set -u
muster validate . || exit 1
muster plan --worktree . --markdown >plan.md
code=$?
cat plan.md
case $code in
  0) echo 'Nothing would change.' ;;
  1) echo 'Something would change.' ;;
  3) echo 'The guard would hold this: somebody has to approve it after the merge.' ;;
  *) exit "$code" ;;
esac
