//! Bounds on what is under way: in all, and for one asker, so that one container cannot take the place of all others.
//! The machine itself has places of its own.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;

/// The places there are.
#[derive(Debug)]
pub(super) struct Bounds {
    /// For all containers together, and once more for the machine.
    most: usize,
    /// For one container.
    each: usize,
    taken: RefCell<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    machine: usize,
    containers: usize,
    /// By asker; who has none is not in it.
    askers: HashMap<IpAddr, usize>,
}

/// A place that is taken until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    bounds: Rc<Bounds>,
    asker: IpAddr,
}

impl Bounds {
    pub(super) fn new(most: usize, each: usize) -> Rc<Self> {
        Rc::new(Self {
            most,
            each,
            taken: RefCell::default(),
        })
    }

    /// A place for this asker; None while there is none.
    pub(super) fn enter(self: &Rc<Self>, asker: IpAddr) -> Option<Place> {
        let mut taken = self.taken.borrow_mut();
        if asker.is_loopback() {
            (taken.machine < self.most).then(|| taken.machine += 1)?;
        } else {
            let own = taken.askers.get(&asker).copied().unwrap_or(0);
            if taken.containers >= self.most || own >= self.each {
                return None;
            }
            taken.containers += 1;
            taken.askers.insert(asker, own + 1);
        }
        Some(Place {
            bounds: Rc::clone(self),
            asker,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.bounds.taken.borrow_mut();
        if self.asker.is_loopback() {
            taken.machine = taken.machine.saturating_sub(1);
            return;
        }
        taken.containers = taken.containers.saturating_sub(1);
        let left = taken.askers.get(&self.asker).map_or(0, |own| own.saturating_sub(1));
        match left {
            0 => drop(taken.askers.remove(&self.asker)),
            left => drop(taken.askers.insert(self.asker, left)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_asker_leaves_room_for_the_others_and_all_for_the_machine() {
        let bounds = Bounds::new(5, 3);
        let asker = |last: u8| IpAddr::from([172, 30, 0, last]);
        let mut held: Vec<_> = (0..3).map(|_| bounds.enter(asker(2)).unwrap()).collect();
        assert!(bounds.enter(asker(2)).is_none(), "one asker has its bound");
        held.extend((0..2).map(|_| bounds.enter(asker(3)).unwrap()));
        assert!(bounds.enter(asker(4)).is_none(), "all have theirs");
        let machine: Vec<_> = (0..5).map(|_| bounds.enter([127, 0, 0, 1].into()).unwrap()).collect();
        assert!(bounds.enter([127, 0, 0, 1].into()).is_none());
        drop(held.remove(0));
        assert!(bounds.enter(asker(4)).is_some());
        drop((held, machine));
        assert!(bounds.taken.borrow().askers.is_empty());
        assert_eq!(
            (bounds.taken.borrow().machine, bounds.taken.borrow().containers),
            (0, 0)
        );
    }
}
