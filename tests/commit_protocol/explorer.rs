//! Explores every state that a model can reach, breadth first: the first way found to a state is a shortest one.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    fmt::{self, Display},
    hash::{BuildHasherDefault, Hash, Hasher},
    iter,
    mem::{Discriminant, discriminant},
    rc::Rc,
};

pub trait Model {
    type State: Eq + Hash;
    /// Shown in traces.
    type Action: Copy + Display;

    fn initial(&self) -> Self::State;
    /// All that may happen next.
    fn actions(&self, state: &Self::State, offer: &mut Vec<Self::Action>);
    /// Whether it is one that a good end may not depend on.
    fn is_fault(&self, action: Self::Action) -> bool;
    /// What follows; or the promise that it breaks.
    fn follow(&self, state: &Self::State, action: Self::Action) -> Result<Self::State, String>;
    /// What must hold in each state.
    fn check(&self, state: &Self::State) -> Result<(), String>;
    /// Where everything has come to a good end.
    fn is_done(&self, state: &Self::State) -> bool;
}

/// A model with all its states. The first is the initial one.
pub struct Explored<'a, M: Model> {
    model: &'a M,
    states: Vec<Rc<M::State>>,
    /// By which action a state was found, from which one.
    found_by: Vec<Option<(u32, M::Action)>>,
    /// From where to where, faults left out.
    steps: Vec<(u32, u32)>,
    kinds: HashSet<Discriminant<M::Action>>,
}

/// A shortest way to what must not be, or to what was looked for.
pub struct Trace {
    pub what: String,
    pub actions: Vec<String>,
}

impl Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, action) in (1..).zip(&self.actions) {
            writeln!(f, "{number:>3}. {action}")?;
        }
        write!(f, "  => {}", self.what)
    }
}

type Known<S> = HashMap<Rc<S>, u32, BuildHasherDefault<Quick>>;

/// States are small numbers by the dozen, and tests are built without optimization: the standard hasher takes most of the
/// time there.
#[derive(Default)]
struct Quick(u64);

impl Hasher for Quick {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u8(*byte);
        }
    }

    fn write_u8(&mut self, byte: u8) {
        self.write_u64(byte.into());
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    #[expect(clippy::cast_sign_loss, reason = "any mapping will do")]
    fn write_isize(&mut self, number: isize) {
        self.write_u64(number as u64);
    }

    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
}

/// Every state, each checked.
pub fn explore<M: Model>(model: &M) -> Result<Explored<'_, M>, Trace> {
    let first = Rc::new(model.initial());
    let mut known: Known<M::State> = iter::once((Rc::clone(&first), 0_u32)).collect();
    let (found_by, steps, kinds) = (vec![None], Vec::new(), HashSet::new());
    let mut all = Explored { model, states: vec![first], found_by, steps, kinds };
    all.model.check(&all.states[0]).map_err(|what| all.trace(0, what))?;
    let (mut at, mut actions) = (0, Vec::new());
    while at < all.states.len() {
        let state = Rc::clone(&all.states[at]);
        let from = u32::try_from(at).expect("a model small enough");
        model.actions(&state, &mut actions);
        for action in actions.drain(..) {
            all.kinds.insert(discriminant(&action));
            let checked = model.follow(&state, action).and_then(|next| model.check(&next).map(|()| next));
            let next = Rc::new(checked.map_err(|what| all.trace_by(at, action, what))?);
            let fresh = u32::try_from(all.states.len()).expect("a model small enough");
            let to = *known.entry(Rc::clone(&next)).or_insert(fresh);
            if to == fresh {
                all.states.push(next);
                all.found_by.push(Some((from, action)));
            }
            if !model.is_fault(action) {
                all.steps.push((from, to));
            }
        }
        at += 1;
    }
    Ok(all)
}

impl<M: Model> Explored<'_, M> {
    pub fn summary(&self) -> String {
        format!("{} states, {} steps", self.states.len(), self.steps.len())
    }

    pub fn states(&self) -> usize {
        self.states.len()
    }

    /// How many kinds of actions were taken at all.
    pub fn kinds_of_actions(&self) -> usize {
        self.kinds.len()
    }

    /// From wherever things have come to, they can still come to a good end: fair schedules do, without another fault.
    pub fn never_stuck(&self) -> Result<(), Trace> {
        let mut before = vec![Vec::new(); self.states.len()];
        for (from, to) in &self.steps {
            before[*to as usize].push(*from);
        }
        let mut hopeful: Vec<bool> = self.states.iter().map(|state| self.model.is_done(state)).collect();
        let mut queue: VecDeque<usize> = (0..hopeful.len()).filter(|at| hopeful[*at]).collect();
        while let Some(at) = queue.pop_front() {
            for from in before[at].iter().map(|from| *from as usize) {
                if !std::mem::replace(&mut hopeful[from], true) {
                    queue.push_back(from);
                }
            }
        }
        match hopeful.iter().position(|hopeful| !hopeful) {
            Some(at) => Err(self.trace(at, "from here on nothing leads to a good end".to_owned())),
            None => Ok(()),
        }
    }

    /// A shortest way to such a state.
    pub fn way_to(&self, what: &str, such: impl Fn(&M::State) -> bool) -> Option<Trace> {
        let at = self.states.iter().position(|state| such(state))?;
        Some(self.trace(at, what.to_owned()))
    }

    fn trace(&self, mut at: usize, what: String) -> Trace {
        let mut actions = Vec::new();
        while let Some((from, action)) = self.found_by[at] {
            actions.push(action.to_string());
            at = from as usize;
        }
        actions.reverse();
        Trace { what, actions }
    }

    fn trace_by(&self, at: usize, action: M::Action, what: String) -> Trace {
        let mut trace = self.trace(at, what);
        trace.actions.push(action.to_string());
        trace
    }
}

/// Numbers that are only ever compared, put in the place of each other's ranks: so they stay few.
pub fn rank(numbers: Vec<&mut u8>) {
    let mut known: Vec<u8> = numbers.iter().map(|number| **number).collect();
    known.sort_unstable();
    known.dedup();
    for number in numbers {
        *number = u8::try_from(known.partition_point(|other| other < number)).expect("no more ranks than numbers");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One counts to ten, by twos or threes. At some numbers it ends.
    struct Count {
        pit: u8,
        forbidden: u8,
    }

    impl Model for Count {
        type State = u8;
        type Action = u8;

        fn initial(&self) -> u8 {
            0
        }

        fn actions(&self, state: &u8, offer: &mut Vec<u8>) {
            if *state < 10 && *state != self.pit {
                offer.extend([2, 3]);
            }
        }

        fn is_fault(&self, _: u8) -> bool {
            false
        }

        fn follow(&self, state: &u8, by: u8) -> Result<u8, String> {
            Ok((state + by).min(10))
        }

        fn check(&self, state: &u8) -> Result<(), String> {
            if *state == self.forbidden { Err("forbidden".to_owned()) } else { Ok(()) }
        }

        fn is_done(&self, state: &u8) -> bool {
            *state == 10
        }
    }

    #[test]
    fn it_finds_the_shortest_way_to_what_must_not_be() {
        let trace = explore(&Count { pit: 99, forbidden: 6 }).err().expect("6 is 3 + 3, and 2 + 2 + 2");
        assert_eq!((trace.what.as_str(), trace.actions), ("forbidden", vec!["3".to_owned(), "3".to_owned()]));
    }

    #[test]
    fn it_finds_where_one_is_stuck() {
        let whole = Count { pit: 99, forbidden: 99 };
        let explored = explore(&whole).ok().expect("nothing is forbidden");
        assert_eq!((explored.states(), explored.never_stuck().is_ok()), (10, true), "all but 1");
        let pitted = Count { pit: 7, forbidden: 99 };
        let trace = explore(&pitted).ok().expect("nothing is forbidden").never_stuck().expect_err("stuck at 7");
        assert_eq!(trace.actions.len(), 3);
    }
}
