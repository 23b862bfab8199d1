#!/usr/bin/env bash
# Plants one fault after another in the machines, the memory, the registry, the driver and retention, and shows that the
# property tests (tests/properties.rs, tests/retention) catch it. Needs a clean work tree; leaves it clean. Run it after changing the tests; with an argument only
# the faults whose description contains it. With --document all of them, and the table of docs/planted-faults.md is written anew.
set -euo pipefail
cd "$(dirname "$0")/.."
export PROPTEST_MAX_SHRINK_ITERS=0 PROPTEST_DISABLE_FAILURE_PERSISTENCE=1 RUST_BACKTRACE=0
git diff --quiet -- src || { echo "src has changes that are not committed: commit or stash them first" >&2; exit 2; }

only=${1:-} document='' rows=''
[[ $only != --document ]] || { only='' document=1; }
tests='--test properties'
missed=0
plant() { # what, file, text, its replacement (fixed strings, first occurrence)
    local what=$1 file=src/$2 old=$3 new=$4 out by
    [[ $what == *$only* ]] || return 0
    grep -qF -- "$old" "$file" || { echo "NOT THERE  $what: $file no longer has: $old"; missed=1; return; }
    OLD=$old NEW=$new perl -0pi -e 's/\Q$ENV{OLD}\E/$ENV{NEW}/' "$file"
    if ! cargo test -q --no-run $tests 2>/dev/null; then
        echo "NO BUILD   $what"; missed=1
    elif out=$(timeout 300 cargo test -q $tests -- --skip every_rule_fires 2>&1); then
        echo "MISSED     $what"; missed=1
    else
        by=$(sed -n 's/^    \([a-z0-9_:]*\)$/\1/p' <<<"$out" | sort -u | paste -sd' ')
        echo "caught     $what, by $by"
        rows+="| $what | $(for test in $by; do short "$test"; done | paste -sd';' | sed 's/;/; /g') |"$'\n'
    fi
    git checkout -q -- "$file"
}
short() { # how docs/planted-faults.md calls a test
    case $1 in
        i1_a_punctual_log_gives_what_its_set_gives) echo 'punctual' ;;
        i1_i3_any_log_gives_in_each_epoch_what_the_model_gives) echo 'recorded' ;;
        i1_the_graph_gives_for_a_punctual_log_what_its_set_gives) echo 'graph, punctual' ;;
        i1_i3_the_graph_gives_for_any_log_what_the_model_gives) echo 'graph, recorded' ;;
        a_punctual_log_asks_for_what_its_set_asks_for) echo 'asked, punctual' ;;
        any_log_gives_the_same_to_any_number_of_workers_over_crashes) echo 'asked, recorded' ;;
        partitions::each_decision_about_a_partition_is_given_once_and_never_early) echo 'decided' ;;
        *) echo "\`$1\`" ;;
    esac
}
trap 'git checkout -q -- src' EXIT

plant "attempt: a fact 2 s behind is left out" machines/attempt/spans.rs "if time <= self.limit {" "if time < self.limit {"
plant "attempt: a wait at once though out of order" machines/attempt/spans.rs \
    "let in_order = self.scheduled != NEVER && since <= self.scheduled;" "let in_order = self.scheduled != NEVER;"
plant "attempt: the wait's facts are not bounded by the end" machines/attempt/spans.rs \
    "end.map_or(evidence, |end| end.time.min(evidence))" "end.map_or(evidence, |_| evidence)"
plant "attempt: the latest of two facts stands" machines/attempt.rs "*fact = event.time.min(*fact);" "*fact = event.time;"
plant "attempt: a fact at a loss's deadline does not prevent it" machines/attempt/losses.rs "*other <= due" "*other < due"
plant "attempt: no grace before settling" machines/runs/close.rs \
    "now.is_past(end.time.saturating_add(self.settings.settling_ms()))" "now.is_past(end.time.saturating_add(2_000))"
plant "attempt: lost more than once" machines/runs/close.rs "self.attempts[slot].done |= done::LOST;" ""
plant "attempt: a run's finish leaves its jobs open" machines/runs/close.rs "end.is_none() && finish == NEVER && !losses.latest" \
    "end.is_none() && !losses.latest"
plant "attempt: a dispatch after retirement is not counted" machines/runs/mod.rs \
    "*closed.deltas.jobs_scheduled.entry(seen.pair).or_default() += 1;" ""
plant "run: a dispatched job does not start it" machines/run.rs "|| self.dispatched;" ";"
plant "run: retired before its finish has passed" machines/runs/close.rs \
    "empty && now.is_past(self.retires(run.finished))" "empty"
plant "run: the duration does not wait for grace" machines/run.rs \
    "self.finished.saturating_add(settings.settling_ms())" "self.finished"
plant "agent: online though disconnected at the same time" machines/agents.rs "agent.up > agent.down" "agent.up >= agent.down"
plant "agent: expires at its deadline" machines/agents.rs "!now.is_past(expires)" "now.0 < expires"
plant "delivery: the first read counts, not the smallest" machines/deliveries.rs "new.first = seen.min(new.first);" ""
plant "delivery: one timely copy does not save the others" machines/deliveries.rs \
    "new.latest = event.time.max(new.latest);" "new.latest = event.time.min(new.latest);"
plant "memory: what is over is forgotten a grace too early" settings.rs \
    "self.dedup_window_ms.saturating_add(self.late_grace_ms)" "self.dedup_window_ms"
plant "memory: horizons are cut, not rounded up" memory.rs "+ Millis::from(horizon.rem_euclid(1000) > 0)" ""
plant "series: a worker's part is left out" series/deltas.rs "self.jobs_running += jobs_running;" \
    "self.jobs_running = *jobs_running;"
plant "registry: a name that is older than the newest comes back" registry.rs \
    "is_some_and(|known| known >= seen)" "is_some_and(|known| known.slug == seen.slug)"
plant "registry: of two names at one time the one read last stands" registry.rs \
    "is_some_and(|known| known >= seen)" "is_some_and(|known| known.time > seen.time)"
plant "registry: the oldest of a former epoch stays" series/deltas.rs "self.oldest_dispatchable = later.oldest_dispatchable;" \
    "self.oldest_dispatchable = self.oldest_dispatchable.or(later.oldest_dispatchable);"
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
plant "delivery: nothing is remembered" machines/deliveries.rs \
    "self.memory.insert(print(key), 0, new.latest.max(at.now.0), at.now)" "0"
plant "sequencer: stream time goes back" sequencer.rs "self.now = self.now.max(StreamTime(time));" \
    "self.now = StreamTime(time);"
tests='--test retention'
plant "retention: asked for before all is read" retention/pending.rs "2 * SKEW_TOLERANCE_MS + settings.late_grace_ms" "0"
plant "retention: what lies within the skew of a moment is not waited for" retention/pending.rs \
    "2 * SKEW_TOLERANCE_MS + settings.late_grace_ms" "settings.late_grace_ms"
plant "retention: an archive from before the end covers it" retention/pending.rs \
    "*done && *time >= ended - SKEW_TOLERANCE_MS" "*done"
plant "retention: a later end does not take over" retention/pending.rs \
    "self.ends.get(1).map_or(NEVER, |next| next - SKEW_TOLERANCE_MS)" "NEVER"
plant "retention: what covers one end is gone for the next" retention/pending.rs "*time >= moment" "*time > moment"
plant "retention: asked for though its project does not archive" retention/pending.rs "self.held = !archives;" \
    "self.held = false;"
plant "retention: a burst when its project begins to archive" retention/pending.rs "(true, true) => now.0," \
    "(true, true) => self.due(ended, settings),"
plant "retention: a dispatch after the end is not waited for" retention/pending.rs "ended.max(self.dispatched)" "ended"
plant "retention: pauses do not grow" retention/pending.rs "checked_shl(tries.saturating_sub(1))" "checked_shl(0)"
plant "retention: a pause shorter than the grace" retention/pending.rs ".max(settings.late_grace_ms)
}" "
}"
plant "retention: never given up" retention/pending.rs "self.tries as usize >= settings.retention.archive_tries" "false"
plant "retention: a failure after the silence counts" retention/pending.rs "self.asked..=self.silence(settings)" \
    "self.asked..=NEVER"
plant "retention: a loss is no end" machines/runs/notes.rs \
    "if lost_at != NEVER && !self.attempts[slot].has(told) {" "if false {"
plant "retention: a loss is told again and again" machines/runs/notes.rs "self.attempts[slot].done |= told;" ""
plant "retention: a run's finish is no end" machines/runs/notes.rs "if now.is_past(self.close_deadline(slot)) {" "if false {"
plant "retention: a run's finish is told again and again" machines/runs/notes.rs \
    "self.attempts[slot].done |= done::TOLD_CLOSED;" ""
plant "retention: a loss is not waited for when its attempt ends" machines/runs/close.rs \
    "attempt.has(done::LOST) && self.notes.is_none()" "attempt.has(done::LOST)"
plant "retention: a run is forgotten before its jobs are read" machines/runs/close.rs \
    "empty && now.is_past(self.retires(run.finished))" "empty && now.is_past(run.finished)"
plant "retention: a dispatch after retirement is not told" machines/runs/apply.rs "self.note_dispatch_after_all(event);" ""
plant "retention: late events are not written down" machines/runs/apply.rs "self.note_late(event);" ""
plant "retention: late events ask for archives" machines/runs/notes.rs "hearsay: true" "hearsay: false"
plant "retention: what a bound keeps out is not told" machines/runs/apply.rs "self.note_unkept(event);" ""
plant "retention: outcomes go to the runs" machines/jobs.rs "event.kind != Kind::LogArchived" "true"
plant "retention: a row of the epoch replaces the one before it" retention/archives.rs \
    "and_modify(|known| known.join(row))" "and_modify(|known| *known = *row)"
plant "retention: the earliest end stands in the ledger" retention/row.rs \
    "self.ended_at = self.ended_at.max(other.ended_at);" "self.ended_at = self.ended_at.or(other.ended_at);"
plant "retention: a failure undoes an archive" retention/row.rs "self.archive = self.archive.max(other.archive);" \
    "self.archive = other.archive;"
plant "retention: changed policies are not seen" retention/archives.rs \
    "if self.policies.as_ref() != Some(&policies) {" "if false {"
plant "retention: those that are held stay for good" retention/archives.rs "|| at.now.is_past(kept_until) {" "{"
plant "retention: who is told of is not stored" machines/attempt.rs "| TOLD_CLOSED | TOLD_LOSSES;" ";"
plant "retention: what was asked for is not stored" retention/archives.rs "if changed {" "if false {"
plant "retention: what is over is not stored" retention/archives.rs "changes.gone.push(entry.key);" ""
plant "retention: the sweep leaves it out" retention/archives/store.rs \
    "for chunk in self.cursor.advance(sweep, self.entries.chunks()) {" "for chunk in 0..0 {"
plant "retention: what is restored is not looked at" retention/archives/store.rs "self.due.lower(slot, Millis::MIN);" ""
plant "partitions: due at its deadline" retention/partitions.rs "clock > deadline" "clock >= deadline"
plant "partitions: stream time alone says that it is old" retention/partitions.rs \
    "moment.now.is_past(deadline) && clock > deadline" "moment.now.is_past(deadline)"
plant "partitions: the log database's clock alone says that it is old" retention/partitions.rs \
    "moment.now.is_past(deadline) && clock > deadline" "clock > deadline"
plant "partitions: the shortest retention counts" retention/policy.rs "fold(default, u32::max)" "fold(default, u32::min)"
plant "partitions: without a default nothing is kept" retention/policy.rs "self.default?.log_retention_days" \
    "self.default.map_or(0, |policy| policy.log_retention_days)"
plant "partitions: a wrong upper bound makes it old" retention/partitions.rs \
    "partition.upper.max(month.plus(1).begin())" "partition.upper"
plant "partitions: bounds are not compared with the name" retention/partitions.rs "if !as_named {" "if false {"
plant "partitions: partly from before our time" retention/partitions.rs "partition.lower >= from" "partition.upper >= from"
plant "partitions: dropped while events wait" retention/partitions.rs "!moment.caught_up" "false"
plant "partitions: an end that nobody confirmed" retention/partitions.rs "all_read && end.wall.is_some()" "all_read"
plant "partitions: the current month is not ensured" retention/partitions.rs "(0..=ahead)" "(1..=ahead)"
plant "partitions: decided again after a restart" ledger.rs "Table::Given => self.given.load(entries)?," \
    "Table::Given => {}"
plant "partitions: the sweep leaves out what was decided" retention/partitions.rs "if sweep.begins() {" "if false {"
plant "partitions: what is gone is remembered for good" retention/partitions.rs "self.given.remove(&id);" ""
tests='--test graph'
plant "state: the maxima of the partitions start anew" graph/mod.rs \
    "Sequencer::resumed(config.clock, maxima.clone(), now)" "Sequencer::resumed(config.clock, Maxima::default(), now)"
plant "retention: policies do not reach the machines" driver.rs "retention.as_deref()" "None"
plant "retention: outcomes do not reach the machines" decode/contract.rs "self.retention.then_some(" "false.then_some("
# what the properties' logs seldom make
tests='--test runs_machine'
plant "attempt: late by order within the epoch" machines/runs/mod.rs \
    "perhaps_late.sort_by_key(|event| (event.attempt == 0, event.attempt));" ""
tests='--lib registry'
plant "state: who was admitted is forgotten" registry/store.rs "self.admitted_as(labels);" ""
# a log without partitions is none that the properties make
tests='--lib sequencer'
plant "sequencer: partitions that are not listed again are taken for read" sequencer.rs "self.unlisted(end) || " ""
# here the graph would have to lose a race: the driver's own tests hold it
tests='--lib driver'
plant "driver: an epoch is closed before all of it has come" driver.rs "if may_come(&epoch) {" \
    "if entry.get().tick.is_none() && may_come(&epoch) {"
if [[ $document && $missed = 0 ]]; then
    ROWS=$rows perl -0pi -e 's/(?<=\|---\|---\|\n)(\|.*\n)*/$ENV{ROWS}/' ../docs/planted-faults.md
fi
exit $missed
