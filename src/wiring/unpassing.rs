//! Work beside the commits that is tried again for ever: what does not pass by itself must be told, and not each time.

use crate::store::StoreError;

/// What was said of one kind of work.
#[derive(Debug, Default)]
pub struct Unpassing {
    /// That it fails.
    said: bool,
}

impl Unpassing {
    /// It failed: whether that is to be said now. Of what passes by itself others tell: commits meet it, too.
    pub fn failed(&mut self, error: &StoreError) -> bool {
        !error.is_transient() && !std::mem::replace(&mut self.said, true)
    }

    /// It went well: whether it was said that it does not.
    pub fn works(&mut self) -> bool {
        std::mem::take(&mut self.said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_pass_is_said_once_until_it_works_again() {
        let refused = StoreError::Definite { reason: "permission denied".to_owned() };
        let away = StoreError::Transient { reason: "no answer".to_owned() };
        let mut unpassing = Unpassing::default();
        assert!(!unpassing.works() && !unpassing.failed(&away), "an outage");
        assert!(!unpassing.works(), "nothing was said of it");
        assert!(unpassing.failed(&refused));
        assert!(!unpassing.failed(&refused) && !unpassing.failed(&away), "said already");
        assert!(unpassing.works() && !unpassing.works());
        assert!(unpassing.failed(&refused), "it fails anew");
    }
}
