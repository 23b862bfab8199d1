#!/usr/bin/env bash
# Plants one fault after another in the machines, the memory, the registry and the driver, and shows that the property
# tests (tests/properties.rs) catch it. Needs a clean work tree; leaves it clean. Run it after changing the tests; with an argument only
# the faults whose description contains it.
set -euo pipefail
cd "$(dirname "$0")/.."
export PROPTEST_MAX_SHRINK_ITERS=0 PROPTEST_DISABLE_FAILURE_PERSISTENCE=1 RUST_BACKTRACE=0
git diff --quiet -- src || { echo "src has changes that are not committed: commit or stash them first" >&2; exit 2; }

only=${1:-}
tests='--test properties'
missed=0
plant() { # what, file, text, its replacement (fixed strings, first occurrence)
    local what=$1 file=src/$2 old=$3 new=$4 out
    [[ $what == *$only* ]] || return 0
    grep -qF -- "$old" "$file" || { echo "NOT THERE  $what: $file no longer has: $old"; missed=1; return; }
    OLD=$old NEW=$new perl -0pi -e 's/\Q$ENV{OLD}\E/$ENV{NEW}/' "$file"
    if ! cargo build -q --test properties 2>/dev/null; then
        echo "NO BUILD   $what"; missed=1
    elif out=$(timeout 300 cargo test -q $tests -- --skip every_rule_fires 2>&1); then
        echo "MISSED     $what"; missed=1
    else
        echo "caught     $what, by $(sed -n 's/^    \([a-z0-9_:]*\)$/\1/p' <<<"$out" | sort -u | paste -sd' ')"
    fi
    git checkout -q -- "$file"
}
trap 'git checkout -q -- src' EXIT

plant "attempt: a fact 2 s behind is left out" machines/attempt.rs "if time <= self.limit {" "if time < self.limit {"
plant "attempt: a wait at once though out of order" machines/attempt.rs \
    "let in_order = self.scheduled != NEVER && since <= self.scheduled;" "let in_order = self.scheduled != NEVER;"
plant "attempt: the wait's facts are not bounded by the end" machines/attempt.rs \
    "end.map_or(evidence, |end| end.time.min(evidence))" "end.map_or(evidence, |_| evidence)"
plant "attempt: the latest of two facts stands" machines/attempt.rs "*fact = event.time.min(*fact);" "*fact = event.time;"
plant "attempt: a fact at a loss's deadline does not prevent it" machines/attempt.rs "*other <= due" "*other < due"
plant "attempt: no grace before settling" machines/runs/close.rs \
    "let deadline = SKEW_TOLERANCE_MS + self.settings.late_grace_ms;" "let deadline = SKEW_TOLERANCE_MS;"
plant "attempt: lost more than once" machines/runs/close.rs "self.attempts[slot].done |= done::LOST;" ""
plant "attempt: a run's finish leaves its jobs open" machines/runs/close.rs "end.is_none() && finish == NEVER && !losses.latest" \
    "end.is_none() && !losses.latest"
plant "attempt: a dispatch after retirement is not counted" machines/runs/apply.rs \
    "*self.dispatched_after_all.entry(pair).or_default() += 1;" ""
plant "attempt: late by order within the epoch" machines/runs/mod.rs \
    "perhaps_late.sort_by_key(|event| (event.attempt == 0, event.attempt));" ""
plant "run: a dispatched job does not start it" machines/run.rs "|| self.dispatched;" ";"
plant "run: retired before its finish has passed" machines/runs/close.rs " && now.is_past(run.finished) {" " {"
plant "run: the duration does not wait for grace" machines/run.rs \
    "self.finished.saturating_add(SKEW_TOLERANCE_MS + settings.late_grace_ms)" "self.finished"
plant "agent: online though disconnected at the same time" machines/agents.rs "agent.up > agent.down" "agent.up >= agent.down"
plant "agent: expires at its deadline" machines/agents.rs "!now.is_past(expires)" "now.0 < expires"
plant "delivery: the first read counts, not the smallest" machines/deliveries.rs "new.first = seen.min(new.first);" ""
plant "delivery: one timely copy does not save the others" machines/deliveries.rs \
    "new.latest = event.time.max(new.latest);" "new.latest = event.time.min(new.latest);"
plant "memory: horizons are cut, not rounded up" memory.rs "+ Millis::from(horizon.rem_euclid(1000) > 0)" ""
plant "series: a worker's part is left out" series.rs "self.jobs_running += other.jobs_running;" \
    "self.jobs_running = other.jobs_running;"
plant "registry: the oldest of a former epoch stays" registry.rs "totals.oldest_dispatchable = None;" ""
plant "driver: an epoch is worked on before the one before it is closed" driver.rs "if earlier_may_come(&epoch) {" \
    "if false {"
plant "driver: jobs of a run go to several workers" graph/mod.rs "|e: &RunEvent| e.run" \
    "|e: &RunEvent| e.run ^ e.job"
plant "state: what an attempt has counted is not stored whole" machines/attempt.rs "LASTING: u16 = DISPATCH | WAIT" \
    "LASTING: u16 = DISPATCH"
plant "state: an attempt's end is not stored" machines/runs/store.rs "out.u8(tag::ATTEMPT_GONE);" "continue;"
plant "state: a timer's work is not stored" machines/runs/close.rs "attempt.done & done::LASTING != before" "false"
plant "state: what jobs tell of their run is not stored" machines/runs/apply.rs "self.run_changed(run);" ""
plant "state: the sweep passes over a chunk" state/sweep.rs "range.start.min(units).." "(range.start + 1).min(units).."
plant "state: what was remembered in the epoch is not stored" memory.rs \
    "self.changes.iter_mut().for_each(|changes| changes.push((tag::PUT, new)));" ""
plant "state: an agent's expiry is not stored" machines/agents.rs \
    "self.changes.iter_mut().for_each(|changes| changes.extend([id]));" ""
plant "state: a restored agent is not looked at" machines/agents.rs "self.due = Millis::MIN;" ""
plant "state: who was admitted is forgotten" registry/store.rs "self.admitted_as(labels);" ""
plant "state: the maxima of the partitions start anew" graph/mod.rs \
    "Sequencer::resumed(config.clock, maxima.clone(), now)" "Sequencer::resumed(config.clock, Maxima::default(), now)"
plant "delivery: nothing is remembered" machines/deliveries.rs \
    "self.memory.insert(print(key), 0, new.latest.max(at.now.0), at.now)" "0"
plant "sequencer: stream time goes back" sequencer.rs "self.now = self.now.max(StreamTime(time));" \
    "self.now = StreamTime(time);"
# here the graph would have to lose a race: the driver's own tests hold it
tests='--lib driver'
plant "driver: an epoch is closed before all of it has come" driver.rs "if may_come(&epoch) {" \
    "if entry.get().tick.is_none() && may_come(&epoch) {"
exit $missed
