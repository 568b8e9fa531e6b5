//! The relay and what others own.

use std::time::Duration;

use parlor::proto::datastore::intent::Intent;
use parlor::proto::hub::{Act, ActError};
use parlor::proto::id::PeerId;
use parlor::proto::model::value::Value;
use parlor::proto::ownership::Claim;
use parlor::sim::network::{Network, Way};
use parlor::sim::playground::Figure;
use parlor::{ClaimError, Denial, EditError, Event, Mode, ModelRef, Origin, Ownership, Terms};

use crate::SECOND;
use crate::court::{Court, accepts, passes, path, seeds};

/// Every way to own something.
fn all_terms() -> impl Iterator<Item = Terms> {
    let modes = [Mode::Instant, Mode::Exclusive, Mode::Fixed];
    modes.into_iter().flat_map(|mode| {
        [false, true].map(|prevent_takeover| Terms { mode, prevent_takeover, ..Terms::default() })
    })
}

fn relay() -> PeerId {
    parlor::Identity::from_seed([255; 32]).peer()
}

fn decree(court: &mut Court, model: &ModelRef<Figure>, claim: Claim) -> Result<(), ActError> {
    court.act(Act::Write(vec![Intent::Claim { model: path(model), claim }]))
}

fn write_name(court: &mut Court, model: &ModelRef<Figure>, name: &str) {
    let value = Value::Text(name.to_owned());
    let intent = Intent::Put { model: path(model), property: 1, value };
    court.act(Act::Write(vec![intent])).unwrap();
}

fn claim(court: &mut Court, peer: usize, model: &ModelRef<Figure>, terms: Terms) {
    court.world.edit(peer, |store| store.claim(model, terms)).unwrap().unwrap();
    court.calm();
    assert!(believes(court, peer, model), "{terms:?}");
    court.world.take_events();
}

fn believes(court: &Court, peer: usize, model: &ModelRef<Figure>) -> bool {
    matches!(court.world.ownership(peer, model), Ownership::Confirmed { .. })
}

#[test]
fn the_relay_writes_what_others_own_and_they_go_on_owning_it() {
    for terms in all_terms() {
        let mut court = Court::new(1, Network::LOSSY, 3, accepts);
        let figure = court.figure(0);
        claim(&mut court, 1, &figure, terms);
        write_name(&mut court, &figure, "renamed");
        court.calm();
        let events = court.world.take_events();
        for peer in 0..3 {
            assert_eq!(court.get(peer, &figure).name, "renamed", "{terms:?}");
            let changed = events.iter().filter(|(of, event)| {
                *of == peer
                    && matches!(event, Event::Changed(it)
                        if it.model == path(&figure) && it.origin == Origin::Remote)
            });
            assert_eq!(changed.count(), 1, "{terms:?}: at {peer}, the owner too");
        }
        assert!(believes(&court, 1, &figure), "{terms:?}");
        court.rename(1, &figure, "by its owner").unwrap();
        assert!(matches!(court.rename(2, &figure, "x"), Err(EditError::Owned { .. })));
        court.calm();
        assert_eq!(court.get(0, &figure).name, "by its owner", "{terms:?}");
        court.at_rest(1);
    }
}

#[test]
fn the_relay_and_an_owner_that_write_at_once_end_with_one_value() {
    for seed in seeds(24, 500) {
        let network = [Network::LOSSY, Network::MOBILE, Network::BURSTS][seed as usize % 3];
        let mut court = Court::new(seed, network, 3, accepts);
        let figure = court.figure(0);
        claim(&mut court, 1, &figure, Terms { mode: Mode::Exclusive, ..Terms::default() });
        for round in 0..12 {
            court.rename(1, &figure, &format!("owner {round}")).unwrap();
            if round % 3 == 0 {
                court.world.flush(1);
            }
            write_name(&mut court, &figure, &format!("relay {round}"));
            if round == 5 {
                court.world.cut(1);
            }
            if round == 8 {
                court.world.mend(1);
            }
            court.world.run(Duration::from_millis(70));
        }
        court.at_rest(seed);
        let name = court.get(0, &figure).name.clone();
        assert!(name.ends_with(" 11"), "seed {seed}: {name}");
        let view = court.view().get(&figure).unwrap();
        assert!((0..3).all(|peer| court.get(peer, &figure).name == view.name), "seed {seed}");
        let refused = court
            .world
            .take_events()
            .into_iter()
            .any(|(_, it)| matches!(it, Event::Refused { .. }));
        assert!(!refused, "seed {seed}: nothing of an owner's is refused");
    }
}

#[test]
fn the_relay_takes_what_others_own_on_whatever_terms_and_lets_go() {
    for (seed, terms) in (0..).zip(all_terms()) {
        let mut court = Court::new(seed, Network::LOSSY, 3, accepts);
        let figure = court.figure(0);
        claim(&mut court, 1, &figure, terms);
        let own = Terms { prevent_takeover: true, ..Terms::default() };
        decree(&mut court, &figure, Claim::Take(own)).unwrap();
        // On its way already, in the belief that it is its own.
        court.rename(1, &figure, "too late").unwrap();
        court.world.run(5 * SECOND);
        court.calm();
        let view = court.view();
        assert_eq!(view.owner(&path(&figure)), Some(relay()), "{terms:?}");
        let events = court.world.take_events();
        let told = Event::Owner { model: path(&figure), owner: Some(relay()), confirmed: true };
        // What is exclusive is nobody's until its owner cannot believe any more that it is its own.
        let exclusive = terms.mode == Mode::Exclusive;
        let left = if exclusive { "too late" } else { "one" };
        for peer in 0..3 {
            assert!(events.contains(&(peer, told.clone())), "{terms:?}: at {peer}");
            assert_eq!(court.get(peer, &figure).name, left, "{terms:?}: at {peer}");
            let error = court.rename(peer, &figure, "x").unwrap_err();
            let by = relay();
            assert_eq!(error, EditError::Owned { model: path(&figure), by }, "{terms:?}");
            let denied = court.world.edit(peer, |store| store.claim(&figure, terms)).unwrap();
            assert_eq!(denied, Err(ClaimError::Denied(Denial::Protected { by })), "{terms:?}");
        }
        let refused =
            events.iter().any(|(peer, it)| *peer == 1 && matches!(it, Event::Refused { .. }));
        assert_eq!(refused, !exclusive, "{terms:?}");
        write_name(&mut court, &figure, "the relay's");
        decree(&mut court, &figure, Claim::Release).unwrap();
        court.calm();
        assert_eq!(court.view().owner(&path(&figure)), None, "{terms:?}");
        assert_eq!(court.get(2, &figure).name, "the relay's");
        claim(&mut court, 2, &figure, Terms::default());
        court.rename(2, &figure, "free again").unwrap();
        court.calm();
        assert_eq!(court.get(1, &figure).name, "free again", "{terms:?}");
        court.at_rest(seed);
    }
}

#[test]
fn an_exclusive_model_that_is_given_away_is_nobodys_twice() {
    for seed in seeds(24, 300) {
        let mut court = Court::new(seed, Network::BURSTS, 3, accepts);
        let figure = court.figure(0);
        claim(&mut court, 1, &figure, Terms { mode: Mode::Exclusive, ..Terms::default() });
        if seed % 2 == 0 {
            // Who has it hears nothing of what is decreed.
            court.world.half_open(1, Way::Down);
        }
        let to = court.id(2);
        decree(&mut court, &figure, Claim::Give(to)).unwrap();
        let (mut last, mut first) = (None, None);
        for step in 0..600_u32 {
            court.world.run(Duration::from_millis(10));
            if believes(&court, 1, &figure) {
                last = Some(step);
            }
            if believes(&court, 2, &figure) {
                first = first.or(Some(step));
            }
            assert!(
                !(believes(&court, 1, &figure) && believes(&court, 2, &figure)),
                "seed {seed}: both at step {step}"
            );
        }
        assert!(first.is_some(), "seed {seed}: it came");
        assert!(last < first, "seed {seed}: {last:?} and {first:?}");
        assert_eq!(court.view().owner(&path(&figure)), Some(to));
        court.rename(2, &figure, "mine").unwrap();
        court.at_rest(seed);
        assert_eq!(court.get(1, &figure).name, "mine", "seed {seed}");
    }
}

#[test]
fn of_decrees_one_after_another_the_last_holds() {
    let exclusive = Terms { mode: Mode::Exclusive, ..Terms::default() };
    let fixed = Terms { mode: Mode::Fixed, ..Terms::default() };
    let owned = |claims: &dyn Fn(&Court) -> Vec<Claim>| {
        let mut court = Court::new(5, Network::LAN, 4, accepts);
        let figure = court.figure(0);
        claim(&mut court, 1, &figure, exclusive);
        for wanted in claims(&court) {
            decree(&mut court, &figure, wanted).unwrap();
            court.world.run(SECOND / 2);
        }
        court.world.run(20 * SECOND);
        let log = court.view().owner(&path(&figure));
        let believing: Vec<usize> =
            (0..4).filter(|peer| believes(&court, *peer, &figure)).collect();
        court.at_rest(5);
        (log, believing, court)
    };
    let (owner, believing, court) =
        owned(&|court| vec![Claim::Give(court.id(2)), Claim::Give(court.id(3))]);
    assert_eq!((owner, believing), (Some(court.id(3)), vec![3]));
    let (owner, believing, _) = owned(&|court| vec![Claim::Give(court.id(2)), Claim::Release]);
    assert_eq!((owner, believing), (None, vec![]));
    let (owner, believing, court) =
        owned(&|court| vec![Claim::Take(fixed), Claim::Give(court.id(2))]);
    assert_eq!((owner, believing), (Some(court.id(2)), vec![2]));
}

#[test]
fn who_waits_for_what_the_relay_has_alone_gets_it_when_that_lets_go() {
    let mut court = Court::new(3, Network::LAN, 2, accepts);
    let figure = court.figure(0);
    let exclusive = Terms { mode: Mode::Exclusive, ..Terms::default() };
    decree(&mut court, &figure, Claim::Take(exclusive)).unwrap();
    court.world.run(SECOND);
    court.world.edit(0, |store| store.claim(&figure, exclusive)).unwrap().unwrap();
    court.world.run(10 * SECOND);
    assert_eq!(court.view().owner(&path(&figure)), Some(relay()));
    assert_eq!(court.world.ownership(0, &figure), Ownership::Claimed);
    decree(&mut court, &figure, Claim::Release).unwrap();
    court.world.run(5 * SECOND);
    assert_eq!(court.view().owner(&path(&figure)), Some(court.id(0)));
    assert!(believes(&court, 0, &figure));
    court.at_rest(3);
}

#[test]
fn what_the_relay_takes_above_what_is_owned_sleeps_and_wakes() {
    let mut court = Court::new(4, Network::LAN, 2, accepts);
    let figure = court.figure(0);
    claim(&mut court, 1, &figure, Terms::default());
    let players = path(&figure).split().unwrap().0;
    let above = |claim| Act::Write(vec![Intent::Claim { model: players.clone(), claim }]);
    court.act(above(Claim::Take(Terms::default()))).unwrap();
    court.world.run(SECOND);
    let by = relay();
    let error = court.rename(1, &figure, "x").unwrap_err();
    assert_eq!(error, EditError::Owned { model: players.clone(), by });
    court.act(above(Claim::Release)).unwrap();
    court.world.run(SECOND);
    court.rename(1, &figure, "awake").unwrap();
    court.world.run(SECOND);
    assert_eq!(court.get(0, &figure).name, "awake");
    // What is removed is owned by nobody, and neither is what comes after it.
    court.act(Act::Write(vec![Intent::Remove { model: path(&figure) }])).unwrap();
    court.world.run(SECOND);
    assert_eq!(court.view().owner(&path(&figure)), None);
    let store = court.world.peer(1).store();
    assert!(store.get(&figure).is_none() && store.owner(&figure).is_none());
    court.at_rest(4);
}

#[test]
fn what_the_relay_owned_is_nobodys_after_it_began_anew() {
    let mut court = Court::new(5, Network::LAN, 2, accepts);
    court.world.keep_history();
    court.set_rules((accepts, passes));
    court.calm();
    let figure = court.figure(0);
    decree(&mut court, &figure, Claim::Take(Terms::default())).unwrap();
    court.world.run(5 * SECOND);
    court.world.crash_relay();
    court.world.start_relay();
    court.world.run(20 * SECOND);
    assert_eq!(court.view().owner(&path(&figure)), None);
    court.rename(0, &figure, "free").unwrap();
    court.world.run(SECOND);
    assert_eq!(court.get(1, &figure).name, "free");
    court.at_rest(5);
}
