//! The fleet's dice: one seeded stream of random numbers, and the few distributions that a CI fleet needs.
//!
//! Only integers and IEEE products are used, never `ln` or `exp`: the same seed gives the same log on every platform.

use dataflows::time::Millis;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// 2^-53: turns 53 random bits into [0, 1).
const UNIT: f64 = 1.0 / 9_007_199_254_740_992.0;

/// A stream of random numbers. Two streams of one seed are independent.
#[derive(Clone, Debug)]
pub struct Dice(ChaCha8Rng);

impl Dice {
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Self(rng)
    }

    /// A random UUID (version 4).
    pub fn id(&mut self) -> u128 {
        let random = self.wide();
        (random & !(0xf000 << 64) & !(0b11 << 62)) | (0x4000 << 64) | (0b10 << 62)
    }

    /// 128 bits, never 0.
    pub fn wide(&mut self) -> u128 {
        ((u128::from(self.0.next_u64()) << 64) | u128::from(self.0.next_u64())).max(1)
    }

    /// 0 to `bound` - 1; 0 where `bound` is 0. (The bias is below `bound` / 2^64.)
    pub fn below(&mut self, bound: u64) -> u64 {
        let product = u128::from(self.0.next_u64()) * u128::from(bound);
        u64::try_from(product >> 64).unwrap_or_default()
    }

    /// `low` to `high`, both included.
    pub fn between(&mut self, low: Millis, high: Millis) -> Millis {
        low.saturating_add_unsigned(self.below(low.abs_diff(high).saturating_add(1)))
    }

    /// [0, 1)
    pub fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 * UNIT
    }

    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> Option<&'a T> {
        list.get(usize::try_from(self.below(list.len() as u64)).unwrap_or_default())
    }

    /// How many times its usual length a job takes: half to three times, skewed to the right, a straggler now and then.
    /// Its mean is [`MEAN_LENGTH`].
    pub fn length(&mut self) -> f64 {
        let unit = self.unit();
        let usual = 0.5 + 2.5 * unit * unit * unit;
        if self.chance(0.01) { 5.0 * usual } else { usual }
    }

    /// Exponential with mean 1, by von Neumann's comparisons (1951): exact without a logarithm.
    pub fn exponential(&mut self) -> f64 {
        let mut whole = 0.0;
        loop {
            let first = self.unit();
            let mut last = first;
            let mut falling = 1_u32;
            loop {
                let next = self.unit();
                if next >= last {
                    break;
                }
                last = next;
                falling += 1;
            }
            if falling % 2 == 1 {
                return whole + first;
            }
            whole += 1.0;
        }
    }
}

/// The mean of [`Dice::length`]: 0.5 + 2.5 / 4, stragglers included.
pub const MEAN_LENGTH: f64 = 1.125 * 1.04;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_version_4_uuids() {
        let mut dice = Dice::new(1, 0);
        for _ in 0..100 {
            let id = uuid::Uuid::from_u128(dice.id());
            assert_eq!((id.get_version_num(), id.get_variant()), (4, uuid::Variant::RFC4122));
        }
    }

    #[test]
    fn distributions_have_their_means() {
        let mut dice = Dice::new(7, 0);
        let mut mean = |f: fn(&mut Dice) -> f64| (0..200_000).map(|_| f(&mut dice)).sum::<f64>() / 200_000.0;
        assert!((mean(Dice::exponential) - 1.0).abs() < 0.02);
        assert!((mean(Dice::length) - MEAN_LENGTH).abs() < 0.02);
        assert!((mean(Dice::unit) - 0.5).abs() < 0.01);
    }

    #[test]
    fn streams_of_one_seed_differ() {
        assert_ne!(Dice::new(1, 0).wide(), Dice::new(1, 1).wide());
        assert_eq!(Dice::new(1, 1).wide(), Dice::new(1, 1).wide());
    }
}
