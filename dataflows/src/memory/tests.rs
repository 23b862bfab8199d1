use super::*;
use std::collections::BTreeMap;

const NOW: StreamTime = StreamTime(1_000_000);

fn id(n: u128) -> Fingerprint {
    Fingerprint::of(1, 0, [n])
}

#[test]
fn what_is_remembered_is_found_until_its_window_has_passed() {
    let mut memory = Memory::new(5_000, 1_000_000);
    memory.insert(id(1), 7, 1_001, NOW);
    assert_eq!(memory.get(id(1), StreamTime(7_000)), Some(7), "horizon 1.001 s counts as 2 s");
    assert_eq!(memory.get(id(1), StreamTime(7_001)), None);
    assert_eq!(memory.get(id(2), StreamTime(0)), None);
}

#[test]
fn a_horizon_that_does_not_fit_is_never_over() {
    let mut memory = Memory::new(5_000, 1_000_000);
    let far = Millis::from(u32::MAX) * 1_000;
    memory.insert(id(1), 7, far, StreamTime(far));
    memory.insert(id(2), 8, far - 1_000, StreamTime(far));
    let later = StreamTime(10 * far);
    memory.sweep(later);
    assert_eq!((memory.get(id(1), later), memory.get(id(2), later)), (Some(7), None));
}

#[test]
fn it_agrees_with_a_map_through_growth_and_sweeps() {
    let mut memory = Memory::new(10_000, 1_000_000);
    let mut model = BTreeMap::new();
    for n in 0..50_000_u128 {
        let horizon = Millis::try_from(n).unwrap();
        let bits = u8::try_from(n % 200).unwrap();
        memory.insert(id(n), bits, horizon, StreamTime(horizon));
        model.insert(n, (bits, horizon_s(horizon)));
        memory.sweep(StreamTime(horizon));
    }
    let now = StreamTime(49_999);
    for (n, (bits, horizon)) in &model {
        let over = now.is_past(Millis::from(*horizon) * 1000 + 10_000);
        assert_eq!(memory.get(id(*n), now), (!over).then_some(*bits), "id {n}");
    }
    assert!(memory.len() < 13_000, "swept: {} held", memory.len());
}

#[test]
fn beyond_the_bound_the_oldest_are_forgotten_and_counted() {
    let mut memory = Memory::new(1_000_000, 256 * 16);
    let evicted: u64 = (1..=100_000_u128).map(|n| memory.insert(id(n), 0, 1_000, NOW)).sum();
    assert!(memory.len() <= 256 * 16);
    assert_eq!(memory.len() as u64 + evicted, 100_000);
}

/// What the memory stores of all it holds, or of what changed, read into another.
fn stored(memory: &mut Memory, all: bool, into: &mut Memory) {
    let mut out = Writer::default();
    if all {
        memory.save_swept(0..SHARDS, &mut out);
    } else {
        memory.save(&mut out);
    }
    let bytes = out.finish();
    let mut entries = Reader::new(&bytes);
    while !entries.is_empty() {
        let tag = entries.u8().unwrap();
        assert!(into.load(tag, &mut entries, &mut |_| true).unwrap());
    }
}

#[test]
fn what_was_forgotten_early_is_forgotten_after_a_restart_too_and_nothing_else() {
    let (mut memory, mut other) = (Memory::new(1_000_000, 256 * 16), Memory::new(1_000_000, 256 * 16));
    memory.record();
    let mut evicted = 0;
    for n in 0..30_000_u128 {
        let horizon = Millis::try_from(n % 977).unwrap() * 1_000;
        evicted += memory.insert(id(n), u8::try_from(n % 200).unwrap(), horizon, NOW);
        if n % 1_000 == 999 {
            stored(&mut memory, false, &mut other);
            assert_eq!(other.len(), memory.len());
        }
    }
    assert!(evicted > 10_000, "{evicted}");
    for n in 0..30_000 {
        assert_eq!(other.get(id(n), NOW), memory.get(id(n), NOW), "id {n}");
    }
}

#[test]
fn a_restart_forgets_nothing_early_and_the_next_insert_counts_what_it_forgets() {
    let mut memory = Memory::new(10_000, 1 << 20);
    memory.record();
    let then = StreamTime(1_000);
    assert_eq!((0..3_000_u128).map(|n| memory.insert(id(n), 0, 1_000, then)).sum::<u64>(), 0);
    let mut later = Memory::new(10_000, 256 * 16);
    stored(&mut memory, true, &mut later);
    // those are over for who knows the time; what is stored of them lies beside what comes
    let now = StreamTime(60_000);
    let mut fresh = Memory::new(10_000, 1 << 20);
    fresh.record();
    assert_eq!((3_000..6_000_u128).map(|n| fresh.insert(id(n), 0, 59_000, now)).sum::<u64>(), 0);
    stored(&mut fresh, true, &mut later);
    assert_eq!(later.len(), 6_000, "over the bound of 4,096");
    assert!((3_000..6_000).all(|n| later.get(id(n), now).is_some()));
    let forgotten: u64 = (6_000..9_000).map(|n| later.insert(id(n), 0, 59_000, now)).sum();
    let held = (3_000..9_000).filter(|n| later.get(id(*n), now).is_some()).count();
    assert_eq!(held as u64 + forgotten, 6_000, "all that went was counted");
    assert!(later.len() <= 256 * 16);
}

#[test]
fn an_insert_of_the_known_replaces_bits_and_only_raises_the_horizon() {
    let mut memory = Memory::new(0, 100);
    memory.insert(id(1), 1, 9_000, NOW);
    memory.insert(id(1), 2, 4_000, NOW);
    assert_eq!(memory.get(id(1), StreamTime(9_000)), Some(2));
    assert_eq!(memory.len(), 1);
}
