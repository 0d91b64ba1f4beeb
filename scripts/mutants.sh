#!/usr/bin/env bash
# Breaks the code on purpose, one patch of mutants/ after the other, and tells
# whether the test that each patch names notices. With names, only those.
#
#   scripts/mutants.sh [NAME...]
#
# It works on a copy of the checkout, with what is not committed yet.
. "$(dirname "$0")/need.sh"

cd "$root"
# Not the checkout's own: cargo names what it builds by the place within the
# workspace, so that a mutant would pass for the code it was made from.
export CARGO_TARGET_DIR=$MUSTER_HOME/mutants/target
# The same place each time, so that a second run need not compile it all again.
tree=$MUSTER_HOME/mutants/tree
log=$MUSTER_HOME/log/mutants
# A test that hangs has noticed something, too; none of these takes a minute. Compiling is not counted: the first time it
# takes as long as the machine needs.
limit=300

mkdir -p "$log" "$(dirname "$tree")"
git worktree prune
[ ! -e "$tree" ] || git worktree remove --force "$tree"
git worktree add --quiet --detach "$tree" HEAD
trap 'git -C "$root" worktree remove --force "$tree"' EXIT
git diff --binary HEAD | git -C "$tree" apply --allow-empty
git ls-files --others --exclude-standard -z | xargs -0 -r cp --parents -t "$tree"
git -C "$tree" add --all

# compile ARGUMENTS...: all but the last, which is the test's name, say what to build.
compile() { (cd "$tree" && cargo test --quiet --no-run "${@:1:$#-1}"); }

# run_test ARGUMENTS...: cargo test of one test by its full name; fails when no
# test has that name.
run_test() {
  (cd "$tree" && timeout --kill-after=10 "$limit" cargo test --quiet "${@:1:$#-1}" -- --exact "${@: -1}") &&
    (cd "$tree" && cargo test --quiet "${@:1:$#-1}" -- --exact "${@: -1}" --list | grep -q ': test$')
}

patches=()
if [ $# -gt 0 ]; then
  for name in "$@"; do patches+=("$root/mutants/$name.patch"); done
else
  patches=("$root"/mutants/*.patch)
fi

declare -A good=()
bad=0
for patch in "${patches[@]}"; do
  name=$(basename "$patch" .patch)
  read -r -a test <<<"$(sed -n 's/^test: //p' "$patch")"
  out=$log/$name.log
  tell() { printf '%-9s %-34s %s\n' "$1" "$name" "${2:-${test[*]}}"; }
  if [ ${#test[@]} = 0 ]; then
    tell "NO TEST" "the patch has no line that begins with \`test: \`"
    bad=$((bad + 1))
    continue
  fi
  # A test that fails anyway catches nothing.
  if [ -z "${good[${test[*]}]:-}" ]; then
    if ! compile "${test[@]}" >"$out" 2>&1; then
      tell "NO CODE" "without the patch, too: see $out"
      bad=$((bad + 1))
      continue
    fi
    if ! run_test "${test[@]}" >"$out" 2>&1; then
      tell "BROKEN" "without the patch, too, or there is no such test: see $out"
      bad=$((bad + 1))
      continue
    fi
    good[${test[*]}]=yes
  fi
  if ! git -C "$tree" apply "$patch" 2>"$out"; then
    tell "NO PATCH" "it does not apply any more: see $out"
    bad=$((bad + 1))
    continue
  fi
  if ! compile "${test[@]}" >"$out" 2>&1; then
    tell "NO CODE" "it does not compile: see $out"
    bad=$((bad + 1))
  elif run_test "${test[@]}" >"$out" 2>&1; then
    tell "SURVIVED"
    bad=$((bad + 1))
  else
    tell "caught"
  fi
  git -C "$tree" apply --reverse "$patch"
done

echo
if [ "$bad" = 0 ]; then
  echo "${#patches[@]} mutants, all caught"
else
  die "$bad of ${#patches[@]} mutants were not shown to be caught" "The output of each is in $log"
fi
