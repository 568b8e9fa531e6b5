//! Every way that ownership can go, as far as the bounds reach. A relay decides who may write, over a
//! network that delays, repeats, reorders and loses whatever it likes; then each rule is left out,
//! and must be missed. By default the second client claims only once. `PARLOR_FULL=1` gives it as
//! many claims as the first: that takes a release build some minutes, and two gigabytes.
//!
//! The models are of the protocol, and share no code with the library.
#![expect(clippy::unwrap_used, reason = "a failing test is a panic")]

#[path = "ownership_model/arbitration.rs"]
mod arbitration;
#[path = "ownership_model/hierarchy.rs"]
mod hierarchy;
#[path = "ownership_model/terms.rs"]
mod terms;

use std::env;
use std::fmt::Debug;
use std::hash::Hash;

use stateright::{Checker, Model};

use self::arbitration::{ALONE, Arbitration, Bounds, DISTINCT, Mode};
use self::hierarchy::{Hierarchy, SHELTERED, UNDISTURBED};
use self::terms::{Boot, Each, Nonce, ORDERED};

const THREADS: usize = 2;

/// The claims of each client. The clients are alike, so it does not matter who claims less.
const FEW: Each<Nonce> = Each::new(Nonce(2), Nonce(1));
const MANY: Each<Nonce> = Each::new(Nonce(2), Nonce(2));

/// A model whose states can all be visited.
trait Finite
where
    Self: Model<State: State, Action: Clone + Debug + PartialEq> + Clone + Send + Sync + 'static,
{
}

impl Finite for Arbitration {}
impl Finite for Hierarchy {}

trait State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static {}

impl State for arbitration::State {}
impl State for hierarchy::State {}

/// Visits every state there is: each property holds, and what should be possible is. How many states
/// there are changes with the protocol alone, so a rule that does nothing any more shows.
fn holds(model: impl Finite, states: usize) {
    let checker = model.checker().threads(THREADS).spawn_bfs().join();
    assert!(checker.is_done());
    checker.assert_properties();
    assert_eq!(checker.unique_state_count(), states);
}

/// Breaks a property in so many steps, and in no fewer.
fn breaks(model: impl Finite, property: &'static str, steps: usize) {
    let path = |steps: usize| {
        // It counts states where we count steps, and leaves out those at the depth itself.
        let checker = model.clone().checker().target_max_depth(steps + 2);
        checker.spawn_bfs().join().discovery(property)
    };
    let shorter = path(steps - 1).map(|path| path.into_actions());
    assert_eq!(shorter, None, "fewer than {steps} steps");
    let actions = path(steps).unwrap().into_actions();
    assert_eq!(actions.len(), steps, "{actions:#?}");
}

fn full() -> bool {
    env::var_os("PARLOR_FULL").is_some()
}

fn arbitration(mode: Mode, claims: Each<Nonce>, fault: Option<arbitration::Fault>) -> Arbitration {
    Arbitration { mode, bounds: Bounds { claims, tokens: 3, boots: Boot(2) }, fault }
}

fn instant_without(fault: arbitration::Fault) -> Arbitration {
    arbitration(Mode::Instant, FEW, Some(fault))
}

fn exclusive_without(fault: arbitration::Fault) -> Arbitration {
    arbitration(Mode::Exclusive, FEW, Some(fault))
}

fn hierarchy_without(fault: hierarchy::Fault) -> Hierarchy {
    Hierarchy { claims: FEW, fault: Some(fault) }
}

#[test]
fn what_anybody_may_take_is_written_to_in_the_order_of_its_grants() {
    let (claims, states) = if full() { (MANY, 2_682_528) } else { (FEW, 325_994) };
    holds(arbitration(Mode::Instant, claims, None), states);
}

#[test]
fn what_is_handed_over_never_has_two_who_believe_that_it_is_theirs() {
    let (claims, states) = if full() { (MANY, 9_773_087) } else { (FEW, 294_993) };
    holds(arbitration(Mode::Exclusive, claims, None), states);
}

#[test]
fn the_outermost_owner_decides_for_everything_below() {
    let (claims, states) = if full() { (MANY, 3_329_145) } else { (FEW, 60_109) };
    holds(Hierarchy { claims, fault: None }, states);
}

#[test]
fn if_the_boot_is_not_durable_a_token_comes_back() {
    let model = instant_without(arbitration::Fault::BootNotDurable);
    breaks(model, DISTINCT, 7);
    breaks(model, ORDERED, 11);
}

#[test]
fn if_the_token_is_not_checked_writes_from_an_earlier_grant_count() {
    breaks(instant_without(arbitration::Fault::TokenNotChecked), ORDERED, 10);
}

#[test]
fn if_a_restarted_relay_does_not_wait_the_owner_from_before_is_not_alone() {
    breaks(exclusive_without(arbitration::Fault::NoWaitAfterRestart), ALONE, 7);
}

#[test]
fn if_the_lease_counts_from_receipt_a_late_grant_outlives_it() {
    breaks(exclusive_without(arbitration::Fault::LeaseFromReceipt), ALONE, 8);
}

#[test]
fn if_a_revoke_is_forgotten_the_grant_that_comes_after_it_is_believed() {
    breaks(exclusive_without(arbitration::Fault::RevokeKeepsFloor), ALONE, 8);
}

#[test]
fn if_the_childs_owner_is_not_fenced_it_writes_under_anothers_parent() {
    breaks(hierarchy_without(hierarchy::Fault::ChildNotFenced), SHELTERED, 6);
}

#[test]
fn if_a_grant_revives_under_its_old_token_writes_from_before_its_sleep_count() {
    breaks(hierarchy_without(hierarchy::Fault::RevivedUnderOldToken), ORDERED, 9);
}

#[test]
fn if_claims_below_anothers_parent_are_not_refused_they_are_granted() {
    breaks(hierarchy_without(hierarchy::Fault::ClaimBelowAnother), UNDISTURBED, 4);
}
