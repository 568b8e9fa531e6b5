//! What becomes of what members write.

use std::time::Duration;

use parlor::proto::datastore::intent::Intent;
use parlor::proto::event::State;
use parlor::proto::hub::{Act, HubEvent, Ruling, Update, Write};
use parlor::proto::model::path::Path;
use parlor::proto::model::value::Value;
use parlor::proto::ownership::Claim;
use parlor::sim::World;
use parlor::sim::network::Network;
use parlor::sim::playground::{Figure, Playground, Thing};
use parlor::{Denial, Event, Origin, Outcome, Terms};

use crate::SECOND;
use crate::court::{Court, accepts, passes, path, seeds};

const SCORE: u16 = 2;
const MOST: i64 = 100;

fn score() -> Path {
    Path::root().property(SCORE)
}

/// The score that an update wants, if it wants another.
fn wanted(update: &Update<'_>) -> Option<i64> {
    let (before, after) = update.of::<Playground>(&Path::root())?;
    (before.score != after.score).then_some(after.score)
}

fn set_score(score: i64) -> Vec<Intent> {
    vec![Intent::Put { model: Path::root(), property: SCORE, value: Value::Int(score) }]
}

fn refuses(update: &Update<'_>) -> Ruling {
    match wanted(update) {
        Some(wanted) if wanted > MOST => Ruling::Refuse { place: score(), code: 7 },
        _ => Ruling::Accept,
    }
}

fn clamps(update: &Update<'_>) -> Ruling {
    match wanted(update) {
        Some(wanted) if wanted > MOST => {
            Ruling::Replace { place: score(), code: 8, with: set_score(MOST) }
        }
        _ => Ruling::Accept,
    }
}

fn amends(update: &Update<'_>) -> Ruling {
    match wanted(update) {
        Some(wanted) if wanted > MOST => Ruling::Amend(set_score(MOST)),
        _ => Ruling::Accept,
    }
}

#[test]
fn a_plugin_is_asked_once_about_each_change_and_sees_what_it_does() {
    let mut court = Court::new(1, Network::MOBILE, 2, accepts);
    let figure = court.figure(0);
    let by = court.id(0);
    court.score(0, 5);
    court.calm();
    let at = path(&figure);
    court
        .world
        .edit(0, |store| {
            store.update_root(|root: &mut Playground| root.score = 6).unwrap();
            store.update(&figure, |figure| figure.hits += 3).unwrap();
            store.claim(&figure, Terms::default()).unwrap();
            let items = store.get(&figure).unwrap().items.clone();
            items.add(store, Thing { count: 9 }).unwrap();
        })
        .unwrap();
    court.type_in(0, 0, "hello");
    court.calm();
    let asked = court.take_asked().writes;
    let mut writes: Vec<Write> = Vec::new();
    for (who, some) in asked {
        assert_eq!(who, by);
        writes.extend(some);
    }
    let set = |before, after| Write::Set {
        model: Path::root(),
        property: SCORE,
        before,
        after: Some(Value::Int(after)),
    };
    let counted = Write::Count { model: at.clone(), property: 6, before: 0, after: 3 };
    let claimed = Write::Claim { model: at.clone(), claim: Claim::Take(Terms::default()) };
    let notes = Path::root().property(7);
    let typed = Write::Type { text: notes, inserted: "hello".into(), erased: 0 };
    for write in [set(None, 5), set(Some(Value::Int(5)), 6), counted, claimed, typed] {
        let times = writes.iter().filter(|other| **other == write).count();
        assert_eq!(times, 1, "{write:?} among {writes:#?}");
    }
    let item = writes.iter().find_map(|write| match write {
        Write::Make { place } if at.property(7).contains(place) => Some(place.clone()),
        _ => None,
    });
    let item = item.unwrap();
    assert!(writes.iter().any(|write| matches!(write,
        Write::Set { model, property: 1, after: Some(Value::Uint(9)), .. } if *model == item)));
    court.world.edit(0, |store| store.release(&figure).unwrap());
    court.calm();
    court.world.edit(1, |store| {
        let players = store.root::<Playground>().unwrap().players.clone();
        assert_eq!(players.remove(store, &figure), Ok(true));
    });
    court.type_in(1, 5, "!");
    court.calm();
    let asked = court.take_asked().writes;
    let removed = (court.id(1), vec![Write::Remove { model: at }]);
    assert_eq!(asked.iter().filter(|one| **one == removed).count(), 1, "{asked:#?}");
    // The view is what the relay has.
    assert_eq!(court.view().root::<Playground>().score, 6);
    assert_eq!(court.view().text(&Path::root().property(7)), "hello!");
    assert!(!court.view().has(&item));
    court.at_rest(1);
}

#[test]
fn what_is_refused_is_taken_back_at_its_author_and_seen_by_nobody_else() {
    for seed in seeds(10, 200) {
        let mut court = Court::new(seed, Network::LOSSY, 3, refuses);
        court.score(0, 50);
        court.calm();
        court.take_asked();
        court.world.take_events();
        // What is beside it in the frame, in the same model too, comes in.
        court.world.edit(0, |store| {
            store
                .update_root(|root: &mut Playground| {
                    root.score = 101;
                    root.title = "beside".into();
                })
                .unwrap();
        });
        assert_eq!(court.root(0).score, 101, "seed {seed}: it shows at once");
        court.calm();
        let events = court.world.take_events();
        let told: Vec<_> = events
            .iter()
            .filter_map(|(peer, event)| match event {
                Event::Refused { model, why } => Some((*peer, model.clone(), *why)),
                _ => None,
            })
            .collect();
        let why = Denial::Ruled { code: 7 };
        assert_eq!(told, [(0, Path::root(), why)], "seed {seed}");
        let rolled = |(peer, event): &(usize, Event)| {
            *peer == 0
                && matches!(event, Event::Changed(it)
                    if it.origin == Origin::Rollback && it.properties.contains(&SCORE))
        };
        assert_eq!(events.iter().filter(|it| rolled(it)).count(), 1, "seed {seed}");
        let others = events.iter().filter(|(peer, event)| {
            *peer != 0 && matches!(event, Event::Changed(it) if it.properties.contains(&SCORE))
        });
        assert_eq!(others.count(), 0, "seed {seed}: nobody else has seen it");
        for peer in 0..3 {
            assert_eq!(court.root(peer).score, 50, "seed {seed}");
            assert_eq!(court.root(peer).title, "beside", "seed {seed}");
        }
        // It was asked about, and then what is left of it.
        assert_eq!(court.take_asked().writes.len(), 2, "seed {seed}");
        court.score(0, 60);
        court.calm();
        assert_eq!(court.root(2).score, 60, "seed {seed}: it goes on writing");
        court.at_rest(seed);
    }
}

#[test]
fn what_is_transformed_is_the_same_for_everybody_and_nobody_sees_what_it_was() {
    for seed in seeds(10, 200) {
        let mut court = Court::new(seed, Network::MOBILE, 3, clamps);
        court.score(1, 1_000);
        court.calm();
        for peer in 0..3 {
            assert_eq!(court.root(peer).score, MOST, "seed {seed}: at {peer}");
        }
        let events = court.world.take_events();
        let seen = events.iter().filter(|(peer, event)| {
            *peer == 2 && matches!(event, Event::Changed(it) if it.properties.contains(&SCORE))
        });
        assert_eq!(seen.count(), 1, "seed {seed}: one change, to what counts");
        let refused = Event::Refused { model: Path::root(), why: Denial::Ruled { code: 8 } };
        assert_eq!(events.iter().filter(|(_, it)| *it == refused).count(), 1, "seed {seed}");
        court.at_rest(seed);
        assert_eq!(court.root(0).score, MOST, "seed {seed}");
    }
}

#[test]
fn what_is_amended_comes_in_and_the_relays_value_shows() {
    for seed in seeds(10, 200) {
        let mut court = Court::new(seed, Network::LOSSY, 3, amends);
        court.score(1, 1_000);
        court.calm();
        for peer in 0..3 {
            assert_eq!(court.root(peer).score, MOST, "seed {seed}: at {peer}");
        }
        let events = court.world.take_events();
        let refused = events.iter().any(|(_, event)| matches!(event, Event::Refused { .. }));
        assert!(!refused, "seed {seed}: nothing is taken back");
        court.at_rest(seed);
    }
}

#[test]
fn what_was_written_on_top_of_a_refused_edit_goes_with_it_and_nothing_else() {
    let mut court = Court::new(4, Network::LAN, 2, refuses);
    let figure = court.figure(0);
    court.world.set_network(Network::LOSSY);
    // Frames are on their way before the answer is there.
    for round in 0..10 {
        court.score(0, 200 + round);
        court.rename(0, &figure, &format!("round {round}")).unwrap();
        court.world.run(Duration::from_millis(20));
    }
    court.calm();
    for peer in 0..2 {
        assert_eq!(court.root(peer).score, 0);
        assert_eq!(court.get(peer, &figure).name, "round 9");
    }
    court.at_rest(4);
}

/// As [`refuses`], and no model is made that is called forbidden.
fn no_forbidden(update: &Update<'_>) -> Ruling {
    for write in &update.writes {
        if let Write::Make { place } = write
            && let Some((_, name)) = named(update, place)
            && name == "forbidden"
        {
            return Ruling::Refuse { place: place.clone(), code: 3 };
        }
    }
    refuses(update)
}

/// What an update calls the model at a place.
fn named<'a>(update: &'a Update<'_>, place: &Path) -> Option<(&'a Path, &'a str)> {
    update.writes.iter().find_map(|write| match write {
        Write::Set { model, property: 1, after: Some(Value::Text(name)), .. } if model == place => {
            Some((model, name.as_str()))
        }
        _ => None,
    })
}

#[test]
fn what_was_edited_offline_is_refused_on_return_with_all_that_stands_on_it() {
    for seed in seeds(10, 100) {
        let mut court = Court::new(seed, Network::LOSSY, 2, no_forbidden);
        court.score(1, 10);
        court.calm();
        court.world.cut(0);
        court.world.run(SECOND);
        let new = |court: &mut Court, name: &str| {
            court
                .world
                .edit(0, |store| {
                    let players = store.root::<Playground>().unwrap().players.clone();
                    let figure = Figure { name: name.into(), ..Figure::default() };
                    players.add(store, figure).unwrap()
                })
                .unwrap()
        };
        let forbidden = new(&mut court, "forbidden");
        let allowed = new(&mut court, "allowed");
        court.world.run(SECOND);
        court.world.edit(0, |store| {
            let items = store.get(&forbidden).unwrap().items.clone();
            items.add(store, Thing { count: 1 }).unwrap();
            store.update(&forbidden, |figure| figure.hits += 1).unwrap();
        });
        court.world.run(SECOND);
        court.rename(0, &allowed, "allowed still").unwrap();
        court.score(0, 500);
        court.world.run(SECOND);
        court.world.take_events();
        court.world.mend(0);
        court.world.run(20 * SECOND);
        court.calm();
        for peer in 0..2 {
            let store = court.world.peer(peer).store();
            assert!(store.get(&forbidden).is_none(), "seed {seed}: at {peer}");
            assert_eq!(court.get(peer, &allowed).name, "allowed still", "seed {seed}");
            assert_eq!(court.root(peer).score, 10, "seed {seed}");
            assert_eq!(court.root(peer).players.len(store), 1, "seed {seed}");
        }
        let events = court.events(0);
        for code in [3, 7] {
            let told = events.iter().any(
                |it| matches!(it, Event::Refused { why: Denial::Ruled { code: it }, .. } if *it == code),
            );
            assert!(told, "seed {seed}: no word of {code}");
        }
        court.at_rest(seed);
    }
}

#[test]
fn a_text_is_refused_as_a_whole_and_what_came_in_before_stays() {
    fn polite(update: &Update<'_>) -> Ruling {
        for write in &update.writes {
            if let Write::Type { text, inserted, .. } = write
                && inserted.contains("rude")
            {
                return Ruling::Refuse { place: text.clone(), code: 5 };
            }
        }
        Ruling::Accept
    }
    let mut court = Court::new(5, Network::LOSSY, 2, polite);
    court.type_in(0, 0, "kind");
    court.calm();
    court.type_in(0, 4, " and rude");
    court.world.run(SECOND / 20);
    court.type_in(1, 0, "so ");
    court.calm();
    assert_eq!((court.notes(0), court.notes(1)), ("so kind".into(), "so kind".into()));
    let text = Path::root().property(7);
    let refused = Event::Refused { model: text, why: Denial::Ruled { code: 5 } };
    assert_eq!(court.events(0).iter().filter(|event| **event == refused).count(), 1);
    court.at_rest(5);
}

#[test]
fn a_text_may_have_models_written() {
    fn counts(update: &Update<'_>) -> Ruling {
        let typed = |write: &Write| matches!(write, Write::Type { .. });
        if update.writes.iter().any(typed) {
            let by = 1;
            return Ruling::Amend(vec![Intent::Count { model: Path::root(), property: 3, by }]);
        }
        Ruling::Accept
    }
    let mut court = Court::new(6, Network::LOSSY, 2, counts);
    court.type_in(0, 0, "x");
    court.calm();
    court.type_in(1, 0, "y");
    court.calm();
    assert_eq!((court.root(0).votes.get(), court.root(1).votes.get()), (2, 2));
    court.at_rest(6);
}

#[test]
fn a_claim_is_refused_once_and_not_made_again() {
    fn no_claims(update: &Update<'_>) -> Ruling {
        let claim = update.writes.iter().find_map(|write| match write {
            Write::Claim { model, .. } => Some(model.clone()),
            _ => None,
        });
        claim.map_or(Ruling::Accept, |place| Ruling::Refuse { place, code: 4 })
    }
    let mut court = Court::new(7, Network::LAN, 2, no_claims);
    let figure = court.figure(0);
    court.world.edit(0, |store| {
        store.claim(&figure, Terms::default()).unwrap();
        store.update_root(|root: &mut Playground| root.title = "beside".into()).unwrap();
    });
    court.calm();
    let why = Denial::Ruled { code: 4 };
    let denied = Event::ClaimDenied { model: path(&figure), why };
    let events = court.world.take_events();
    assert_eq!(events.iter().filter(|(peer, it)| *peer == 0 && *it == denied).count(), 1);
    assert!(!events.iter().any(|(_, it)| matches!(it, Event::Refused { .. })));
    assert_eq!(court.view().owner(&path(&figure)), None);
    assert_eq!(court.root(1).title, "beside");
    // One that was refused, and one without it.
    assert_eq!(court.take_asked().writes.len(), 2);
    court.rename(1, &figure, "free").unwrap();
    court.world.run(SECOND);
    assert_eq!(court.get(0, &figure).name, "free");
    court.at_rest(7);
}

#[test]
fn what_is_proposed_for_a_confirmed_dictionary_is_settled_when_it_is_refused() {
    fn no_desks(update: &Update<'_>) -> Ruling {
        let desks = Path::root().property(10);
        let makes = |write: &&Write| matches!(write, Write::Make { place } if desks.contains(place) && *place != desks);
        let made = update.writes.iter().find(makes);
        made.map_or(Ruling::Accept, |write| Ruling::Refuse { place: write.place(), code: 9 })
    }
    fn no_seats_kept(update: &Update<'_>) -> Ruling {
        let claim = update.writes.iter().find_map(|write| match write {
            Write::Claim { model, claim } if claim.reserves() => Some(model.clone()),
            _ => None,
        });
        claim.map_or(Ruling::Accept, |place| Ruling::Refuse { place, code: 9 })
    }
    for rules in [no_desks, no_seats_kept] {
        let mut court = Court::new(8, Network::LAN, 2, rules);
        let ticket = court
            .world
            .edit(0, |store| {
                let desks = store.root::<Playground>().unwrap().desks.clone();
                desks.insert(store, &"one".to_owned(), Figure::default()).unwrap()
            })
            .unwrap();
        court.world.run(10 * SECOND);
        let lost = Outcome::Lost(Denial::Ruled { code: 9 });
        assert_eq!(court.world.outcomes(0).get(&ticket), Some(&lost));
        for peer in 0..2 {
            let store = court.world.peer(peer).store();
            assert!(court.root(peer).desks.is_empty(store));
        }
        assert!(court.take_asked().writes.len() < 10, "it is not tried again");
        court.at_rest(8);
    }
}

#[test]
fn a_place_where_nothing_is_written_stands_for_all_of_an_update() {
    fn astray(update: &Update<'_>) -> Ruling {
        match wanted(update) {
            Some(_) => Ruling::Refuse { place: Path::root().property(99), code: 6 },
            None => Ruling::Accept,
        }
    }
    let mut court = Court::new(9, Network::LAN, 2, astray);
    court.world.edit(0, |store| {
        store
            .update_root(|root: &mut Playground| {
                (root.score, root.title) = (1, "gone too".into());
            })
            .unwrap();
    });
    court.calm();
    for peer in 0..2 {
        assert_eq!((court.root(peer).score, court.root(peer).title.as_str()), (0, ""));
    }
    assert_eq!(court.take_asked().writes.len(), 1);
    court.at_rest(9);
}

#[test]
fn a_plugin_that_panics_keeps_what_it_was_asked_about_out_and_the_room_goes_on() {
    fn trips(update: &Update<'_>) -> Ruling {
        assert_ne!(wanted(update), Some(13), "a plugin that panics");
        Ruling::Accept
    }
    let mut court = Court::new(10, Network::LOSSY, 2, trips);
    court.world.take_relay_events();
    court.score(0, 13);
    court.calm();
    let why = Denial::Ruled { code: 0 };
    let told = court.events(0);
    assert!(told.iter().any(|it| matches!(it, Event::Refused { why: it, .. } if *it == why)));
    assert_eq!((court.root(0).score, court.root(1).score), (0, 0));
    let failed = court.world.take_relay_events();
    assert_eq!(failed, [HubEvent::PluginFailed { faults: 1 }]);
    court.score(0, 12);
    court.calm();
    assert_eq!((court.root(0).score, court.root(1).score), (12, 12));
    assert_eq!(*court.world.peer(0).state(), State::Ready);
    court.at_rest(10);
}

#[test]
fn what_an_earlier_relay_let_in_is_not_asked_about_and_what_comes_back_can_be_put_right() {
    for seed in seeds(5, 50) {
        let mut court = Court::new(seed, Network::LAN, 2, accepts);
        court.world.keep_history();
        court.set_rules((accepts, passes));
        court.calm();
        court.score(0, 500);
        court.score(1, 600);
        court.calm();
        court.world.crash_relay();
        court.world.start_relay();
        court.set_rules((refuses, passes));
        court.take_asked();
        court.world.run(10 * SECOND);
        let asked = court.take_asked();
        let judged = asked.writes.iter().flat_map(|(_, writes)| writes);
        let scores = judged.filter(|write| write.place() == score()).count();
        assert_eq!(scores, 0, "seed {seed}: {:?}", asked.writes);
        let restored = HubEvent::Restored { room: court.world.room_key() };
        assert_eq!(asked.told.iter().filter(|it| **it == restored).count(), 1, "seed {seed}");
        assert!(court.view().root::<Playground>().score > MOST, "seed {seed}: it is back");
        court.act(Act::Write(set_score(MOST))).unwrap();
        court.calm();
        assert_eq!((court.root(0).score, court.root(1).score), (MOST, MOST), "seed {seed}");
        court.score(0, 700);
        court.calm();
        assert_eq!((court.root(0).score, court.root(1).score), (MOST, MOST), "seed {seed}");
        court.at_rest(seed);
    }
}

#[test]
fn nobody_else_shows_what_is_amended_where_frames_come_whole() {
    let mut court = Court::new(11, Network::LAN, 2, amends);
    court.score(0, 1_000);
    let over = |world: &World| world.peer(1).store().root::<Playground>().unwrap().score > MOST;
    assert!(!court.world.run_until(5 * SECOND, over));
    assert_eq!((court.root(0).score, court.root(1).score), (MOST, MOST));
    // Both came in one frame, and each is told.
    let told = court
        .events(1)
        .into_iter()
        .filter(|event| matches!(event, Event::Changed(it) if it.properties.contains(&SCORE)));
    assert_eq!(told.count(), 2);
}
