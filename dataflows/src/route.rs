//! Which worker keeps what: every key has a route, and each worker owns a range of routes.
//!
//! A route is part of what is stored (with remembered fingerprints too), so that any number of workers can restore what
//! any other number has written. It must never change.

use crate::event::Id;

/// 16 bits of a key, spread evenly.
pub type Route = u16;

/// The route of an id; ids of one half alike must not all go one way.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "folding 128 bits into 16 is meant")]
pub const fn route(id: Id) -> Route {
    let folded = (id as u64) ^ ((id >> 64) as u64).rotate_left(32);
    (folded.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48) as Route
}

/// One worker's part of all routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    pub worker: usize,
    pub peers: usize,
}

impl Share {
    /// The only worker's.
    pub const WHOLE: Self = Self { worker: 0, peers: 1 };

    #[must_use]
    pub const fn owns(self, route: Route) -> bool {
        owner(route, self.peers) == self.worker
    }
}

/// The worker, of `peers`, that owns a route.
#[must_use]
pub const fn owner(route: Route, peers: usize) -> usize {
    (route as usize * peers) >> Route::BITS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_has_one_owner_and_the_owners_have_about_the_same() {
        for peers in [1, 2, 3, 7, 256] {
            let mut routes = vec![0_usize; peers];
            for route in 0..=Route::MAX {
                routes[owner(route, peers)] += 1;
            }
            let (least, most) = (routes.iter().min().copied(), routes.iter().max().copied());
            assert!(
                most.zip(least).is_some_and(|(most, least)| least > 0 && most - least <= 1),
                "{peers}: {routes:?}"
            );
        }
    }

    #[test]
    fn routes_never_change() {
        let ids = [0, 1, 1 << 64, u128::MAX, 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef];
        assert_eq!(ids.map(route), [0, 40_503, 32_586, 0, 243]);
    }
}
