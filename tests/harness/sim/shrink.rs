//! Makes a failure smaller: fewer faults, fewer features, an earlier end, as long as the same rule breaks.

use super::campaign::{Setting, run};
use super::queue::{MILLI, Micros};
use super::swarm::{Cut, Fault, Feature};
use super::trace::Lines;

/// Halvings of the time of trouble; the last one leaves about a hundredth.
const HALVINGS: u32 = 7;

/// What can be left out of a failing run. `None` when it does not fail at all.
#[must_use]
pub fn shrink(seed: u64, setting: &Setting) -> Option<Setting> {
    let check = run(seed, setting, Lines::None).failure?.check;
    let fails =
        |setting: &Setting| run(seed, setting, Lines::None).failure.is_some_and(|failure| failure.check == check);
    let mut small = setting.clone();
    let mut attempt = |change: &dyn Fn(&mut Cut)| {
        let mut next = small.clone();
        change(&mut next.cut);
        if next.cut != small.cut && fails(&next) {
            small = next;
        }
    };
    for fault in Fault::ALL {
        attempt(&|cut| {
            cut.faults.insert(fault);
        });
    }
    for feature in Feature::ALL {
        attempt(&|cut| {
            cut.features.insert(feature);
        });
    }
    let (mut low, mut high): (Micros, Micros) = (0, super::swarm::TROUBLE);
    for _ in 0..HALVINGS {
        let middle = (low + high) / 2 / MILLI * MILLI;
        let mut next = small.clone();
        next.cut.trouble = Some(middle);
        if fails(&next) {
            (small, high) = (next, middle);
        } else {
            low = middle;
        }
    }
    Some(small)
}
