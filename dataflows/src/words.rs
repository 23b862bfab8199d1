//! Closed lists of words, each written once: an enum, its values in order, and the word of each.
//!
//! The place of a value in its list is what counters are stored by ([`crate::registry`]): a list only ever grows at its end.

macro_rules! words {
    (
        $(#[$about:meta])*
        $visible:vis enum $list:ident { $($(#[$doc:meta])* $value:ident = $word:literal,)* }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[repr(u8)]
        $visible enum $list { $($(#[$doc])* $value,)* }

        impl $list {
            /// In order; each lies at the place that `as usize` gives.
            $visible const ALL: [Self; [$($word),*].len()] = [$(Self::$value),*];

            /// Its word: a label's value, or a name in the contract.
            #[must_use]
            $visible const fn name(self) -> &'static str {
                match self { $(Self::$value => $word),* }
            }

            /// The value whose [`name`](Self::name) this is.
            #[must_use]
            $visible fn from_name(name: &str) -> Option<Self> {
                match name { $($word => Some(Self::$value),)* _ => None }
            }
        }
    };
}
pub(crate) use words;

#[cfg(test)]
mod tests {
    use crate::{
        event::{ArchiveResult, Kind, Status},
        feed::Reason,
        retention::{self, Fate},
        series::Limit,
    };

    /// Counters are stored by place: a word before the end, or one that went, would give each later one the count of another.
    #[test]
    fn stored_lists_only_ever_grow_at_their_end() {
        let stored: [(&[&str], &str); 8] = [
            (
                &Kind::ALL.map(Kind::name),
                "run.queued run.started run.finished job.queued job.ready job.scheduled job.started job.finished \
                 job.requeued agent.connected agent.heartbeat agent.disconnected log.archived log.partition_dropped \
                 webhook.received",
            ),
            (&Status::ALL.map(Status::name), "success failed canceled skipped unknown"),
            (&ArchiveResult::ALL.map(ArchiveResult::name), "success failed skipped other"),
            (
                &Reason::ALL.map(Reason::name),
                "too_large too_deep not_json not_cloudevent missing_field invalid_field",
            ),
            (
                &Limit::ALL.map(Limit::name),
                "max_open_jobs max_open_runs max_jobs_per_run max_remembered_ids max_agents max_names \
                 max_pending_archives max_name_bytes",
            ),
            (&retention::Kind::NAMES, "ensure_partition archive_logs drop_partition blocked"),
            (&Fate::ALL.map(Fate::name), "executed failed unanswered withdrawn"),
            (
                &retention::Reason::ALL.map(retention::Reason::name),
                "no_policy incomplete_history not_caught_up archive_pending archive_failed unknown_job bounds \
                 foreign_rows newer_rows clock",
            ),
        ];
        for (now, once) in stored {
            let once: Vec<&str> = once.split_whitespace().collect();
            assert!(now.starts_with(&once), "{now:?} does not begin as what is stored: {once:?}");
        }
    }

    #[test]
    fn a_word_leads_back_to_its_value() {
        for (place, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!((Kind::from_name(kind.name()), kind as usize), (Some(kind), place));
        }
        assert_eq!(Kind::from_name("run.paused"), None);
    }
}
