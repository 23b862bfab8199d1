//! Whether what Kafka has still fits what was counted (I4, I5): the same topic, and every offset that comes next.
//!
//! Pure: what was kept and what was seen are passed in. Anything that does not fit ends the pipeline before a record is
//! read from the wrong place; only people can say from where to count anew.

use super::{Offsets, SourceError};
use dataflows::feed::Partition;
use std::collections::BTreeSet;

/// Where reading starts. The default: at the beginning of whatever topic is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StartAt {
    /// Next offsets; partitions that are not in it start at their beginning.
    pub offsets: Offsets,
    /// The topic that they belong to; `None` where its broker told no id.
    pub topic_id: Option<String>,
}

/// What is to be done about it, as the last sentence of a refusal.
const REMEDY: &str = "Only you can say from where to count anew: `gocdnext-flow state reset --to earliest` forgets what was \
                      counted and begins with all that Kafka has, `gocdnext-flow state reset --to latest` with what comes \
                      from now on";

/// The first and the next offsets that Kafka has, of all its partitions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Has<'a> {
    pub low: &'a Offsets,
    pub high: &'a Offsets,
}

/// Refuses where an id is known on both sides and is not the same.
pub(super) fn same_topic(topic: &str, ours: Option<&str>, kafkas: Option<&str>) -> Result<(), SourceError> {
    match (ours, kafkas) {
        (Some(ours), Some(kafkas)) if ours != kafkas => Err(SourceError::Offsets(format!(
            "topic {topic} was deleted and made anew: what was counted belongs to the one with the id {ours}, Kafka now \
             has {kafkas}. {REMEDY}"
        ))),
        _ => Ok(()),
    }
}

/// Refuses a topic that lacks partitions that were read before; a topic never loses any.
pub(super) fn all_partitions<'a>(
    topic: &str,
    ours: impl IntoIterator<Item = &'a Partition>,
    kafkas: &BTreeSet<Partition>,
) -> Result<(), SourceError> {
    let gone: Vec<_> = ours.into_iter().filter(|p| !kafkas.contains(p)).map(Partition::to_string).collect();
    if gone.is_empty() {
        return Ok(());
    }
    Err(SourceError::Offsets(format!(
        "topic {topic} was made anew: partitions that were read before are gone ({}), Kafka now has {}. {REMEDY}",
        gone.join(", "),
        kafkas.len()
    )))
}

/// Refuses next offsets that Kafka does not have: deleted already, or not written yet. Partitions that are not listed
/// on both sides are passed over.
pub(super) fn within(topic: &str, next: &Offsets, has: Has<'_>) -> Result<(), SourceError> {
    let mut gone = Vec::new();
    for (partition, next) in next {
        if let (Some(low), Some(high)) = (has.low.get(partition), has.high.get(partition))
            && !(low..=high).contains(&next)
        {
            let (next, low, high) = (next.0, low.0, high.0);
            gone.push(format!("partition {partition}: next offset {next}, Kafka has {low} to {high}"));
        }
    }
    if gone.is_empty() { Ok(()) } else { Err(lost(topic, &gone.join("; "))) }
}

/// The refusal, with what is known about it.
pub(super) fn lost(topic: &str, what: &str) -> SourceError {
    SourceError::Offsets(format!(
        "topic {topic} does not have the offsets that come next ({what}): its retention was too short for the time that \
         nobody read, it was made anew, or records were deleted, or lost with a broker. {REMEDY}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataflows::time::NextOffset;

    fn offsets(offsets: &[i64]) -> Offsets {
        (0..).zip(offsets.iter().copied().map(NextOffset)).collect()
    }

    fn refusal(result: Result<(), SourceError>) -> String {
        let Err(SourceError::Offsets(text)) = result else { panic!("{result:?} is no refusal") };
        assert!(text.contains("`gocdnext-flow state reset --to earliest`"), "{text}");
        text
    }

    #[test]
    fn a_topic_with_another_id_is_refused() {
        assert!(same_topic("t", Some("a"), Some("a")).is_ok());
        assert!(same_topic("t", None, Some("a")).is_ok(), "nothing was kept, or by an old broker");
        assert!(same_topic("t", Some("a"), None).is_ok(), "this broker tells none");
        let text = refusal(same_topic("t", Some("a"), Some("b")));
        assert!(
            text.contains("topic t was deleted and made anew") && text.contains("id a, Kafka now has b"),
            "{text}"
        );
    }

    #[test]
    fn partitions_may_join_and_never_leave() {
        let kafkas = BTreeSet::from([0, 1]);
        assert!(all_partitions("t", &[0, 1], &kafkas).is_ok());
        assert!(all_partitions("t", &[0], &kafkas).is_ok());
        let text = refusal(all_partitions("t", &[0, 1, 2, 3], &kafkas));
        assert!(text.contains("are gone (2, 3), Kafka now has 2"), "{text}");
    }

    #[test]
    fn every_next_offset_must_be_there_or_come_next() {
        let (low, high) = (offsets(&[5, 0]), offsets(&[9, 0]));
        let has = Has { low: &low, high: &high };
        for fitting in [&[5, 0][..], &[9, 0], &[7], &[]] {
            assert!(within("t", &offsets(fitting), has).is_ok(), "{fitting:?}");
        }
        let deleted = refusal(within("t", &offsets(&[4, 0]), has));
        assert!(deleted.contains("(partition 0: next offset 4, Kafka has 5 to 9)"), "{deleted}");
        let ahead = refusal(within("t", &offsets(&[10, 1]), has));
        assert!(
            ahead.contains("next offset 10, Kafka has 5 to 9; partition 1: next offset 1, Kafka has 0 to 0"),
            "{ahead}"
        );
        assert!(within("t", &offsets(&[5, 0, 3]), has).is_ok(), "not listed now: no judgement");
    }
}
