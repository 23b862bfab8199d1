//! What must hold of the manifest, whatever the blobs say.

use crate::{
    store::{Lease, Manifest},
    wiring::Details,
};

/// Its details; an epoch of 0 has none.
pub fn details(manifest: &Manifest) -> Result<Details, String> {
    Details::of(manifest).map_err(|error| format!("its details cannot be read: {error}"))
}

/// What does not hold; empty: all does.
pub fn faults(manifest: &Manifest, details: &Details, lease: &Lease) -> Vec<String> {
    let Manifest { epoch, horizon, generation, .. } = *manifest;
    let mut faults = Vec::new();
    let mut must = |holds: bool, otherwise: String| {
        if !holds {
            faults.push(otherwise);
        }
    };
    must(horizon <= epoch, format!("its horizon {horizon} lies behind its epoch {epoch}"));
    let held = lease.generation;
    must(generation == held, format!("its generation is {generation}, and the lease's is {held}"));
    for (partition, next) in &details.offsets {
        must(*next >= 0, format!("partition {partition} goes on at offset {next}"));
    }
    for partition in details.maxima.keys() {
        let read = details.offsets.contains_key(partition);
        must(read, format!("partition {partition} has a largest time, and no offset"));
    }
    for (partition, end) in details.first_ends.iter().flatten() {
        must(*end >= 0, format!("partition {partition} ended at offset {end} at the first start"));
    }
    for (name, bounds) in
        [("duration_buckets", &details.shape.duration_buckets_ms), ("queue_buckets", &details.shape.queue_buckets_ms)]
    {
        must(bounds.is_sorted_by(|a, b| a < b), format!("its {name} do not ascend"));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(generation: u64) -> Lease {
        let (instance_id, holder) = (String::new(), String::new());
        Lease { generation, beat: 0, instance_id, holder, released: true, renewed_at_ms: 0 }
    }

    #[test]
    fn what_does_not_hold_is_named() {
        let manifest = Manifest { epoch: 3, horizon: 2, generation: 1, ..Manifest::default() };
        let mut details = Details::default();
        details.offsets.insert(0, 5);
        details.maxima.insert(0, 1_000);
        assert_eq!(faults(&manifest, &details, &lease(1)), Vec::<String>::new());
        details.offsets.insert(1, -1);
        details.maxima.insert(2, 1_000);
        details.shape.queue_buckets_ms = vec![5, 5];
        let wrong = Manifest { horizon: 4, ..manifest };
        assert_eq!(
            faults(&wrong, &details, &lease(2)),
            [
                "its horizon 4 lies behind its epoch 3",
                "its generation is 1, and the lease's is 2",
                "partition 1 goes on at offset -1",
                "partition 2 has a largest time, and no offset",
                "its queue_buckets do not ascend",
            ]
        );
    }

    #[test]
    fn details_that_are_no_json_are_told() {
        let manifest = Manifest { epoch: 1, details: "{".to_owned(), ..Manifest::default() };
        assert!(details(&manifest).unwrap_err().starts_with("its details cannot be read"));
        assert_eq!(details(&Manifest::default()), Ok(Details::default()));
    }
}
