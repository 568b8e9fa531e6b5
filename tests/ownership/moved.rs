//! A member that lies about what moves: its values count nowhere that they may not, and the relay writes
//! none of them over what is another's.

use parlor::proto::model::handle::{Handle, ModelRef};
use parlor::proto::state::grid::{Kind, Truth};
use parlor::proto::state::stream::Outgoing;
use parlor::proto::wire::bounded::{Blob, List};
use parlor::proto::wire::message::{Message, StateAnswer, StatePace, StatePacket, StateSection};
use parlor::sim::playground::{Figure, Playground};
use parlor::{Mode, Terms};

use super::stage::{Liar, Stage};

const LIAR: u8 = 1;
const NUMBER: Kind = Kind::Vector { components: 1 };
const POSE: Kind = Kind::Vector { components: 3 };

/// A frame that builds on none and says a value of each name.
fn whole(stage: &Stage, liar: &Liar, names: &[(&str, Kind)]) -> Message {
    let mut outgoing = Outgoing::default();
    for (name, kind) in names {
        outgoing.set(name, *kind, Truth::Numbers([7 << 8, 0, 0, 0])).unwrap();
    }
    let section = StateSection {
        client: stage.client(liar),
        beside: 0,
        pace: Some(StatePace { origin: 0, period: 50_000 }),
        frame: Blob::new(outgoing.frame(1, 10_000, true).unwrap()).unwrap(),
    };
    Message::StateWhole(StatePacket {
        number: [1, 0],
        answer: StateAnswer::default(),
        // As if it knew of every grant.
        known: u32::MAX,
        sections: List::of([section]),
    })
}

/// A figure in a seat, under a key that looks like a property.
fn seated(stage: &mut Stage, key: &str, owned: bool) -> ModelRef<Figure> {
    let store = stage.honest[0].store_mut();
    let seats = store.root::<Playground>().unwrap().seats.clone();
    let figure = Figure { name: "seated".to_owned(), ..Figure::default() };
    let figure = seats.insert(store, &key.to_owned(), figure).unwrap();
    if owned {
        store.claim(&figure, Terms { mode: Mode::Fixed, ..Terms::default() }).unwrap();
    }
    stage.run(1_500);
    figure
}

#[test]
fn a_value_in_a_models_place_leaves_the_model_whoever_owns_it() {
    for owned in [false, true] {
        let mut stage = Stage::new();
        let figure = seated(&mut stage, "7", owned);
        let liar = stage.enter(LIAR);
        let before = stage.facts();
        let message = whole(&stage, &liar, &[("5/7 f", NUMBER)]);
        stage.tells(&liar, &message);
        // It goes, and the relay writes down what it said.
        stage.tells(&liar, &Message::Leave);
        stage.run(8_000);
        assert_eq!(stage.facts(), before, "owned: {owned}");
        let seen = stage.honest[1].store().get(&figure).map(|figure| figure.name.clone());
        assert_eq!(seen.as_deref(), Some("seated"), "owned: {owned}");
        stage.serves_the_honest();
    }
}

#[test]
fn another_spelling_of_an_owned_model_is_no_name() {
    let mut stage = Stage::new();
    let figure = seated(&mut stage, "50%", true);
    assert_eq!(figure.path().unwrap().as_str(), "5/50%25");
    let liar = stage.enter(LIAR);
    let before = stage.facts();
    let names = [("5/50%/9 v3:0.01", POSE), ("5/50%25/9 v3:0.01", POSE)];
    let message = whole(&stage, &liar, &names);
    stage.tells(&liar, &message);
    stage.tells(&liar, &Message::Leave);
    stage.run(8_000);
    assert_eq!(stage.facts(), before);
    for peer in &stage.honest {
        assert_eq!(peer.store().get(&figure).map(|figure| figure.pose), Some([0.0; 3]));
    }
}

#[test]
fn what_is_said_about_models_does_not_move_and_keeps_no_grant_from_anybody() {
    let mut stage = Stage::new();
    let liar = stage.enter(LIAR);
    let names = [
        ("0/@claims/7 f", NUMBER),
        ("0/7 f", NUMBER),
        ("11 v2:0.01", Kind::Vector { components: 2 }),
    ];
    let message = whole(&stage, &liar, &names);
    stage.tells(&liar, &message);
    // With what it owns, what it said is written down.
    stage.lose(&liar);
    stage.run(7_000);
    stage.claims(1);
    stage.serves_the_honest();
}

#[test]
fn who_goes_back_in_time_is_sent_away() {
    let mut stage = Stage::new();
    let liar = stage.enter(LIAR);
    let mut outgoing = Outgoing::default();
    outgoing.set("11 v2:0.01", Kind::Vector { components: 2 }, Truth::Numbers([0; 4])).unwrap();
    for (number, tick) in [(1, 100), (2, 50)] {
        let frame = outgoing.frame(tick, 10_000, true).unwrap();
        outgoing.restart();
        let section = StateSection {
            client: stage.client(&liar),
            beside: 0,
            pace: Some(StatePace { origin: 0, period: 50_000 }),
            frame: Blob::new(frame).unwrap(),
        };
        let message = Message::StateWhole(StatePacket {
            number: [number, 0],
            answer: StateAnswer::default(),
            known: 0,
            sections: List::of([section]),
        });
        assert!(!stage.is_refused(&liar));
        stage.tells(&liar, &message);
    }
    assert!(stage.is_refused(&liar));
    stage.serves_the_honest();
}

#[test]
fn a_beginning_counts_however_many_packets_came_before_it() {
    let mut stage = Stage::new();
    let liar = stage.enter(LIAR);
    let answers = |number: u8| {
        Message::State(StatePacket {
            number: [number, 0],
            answer: StateAnswer::default(),
            known: 0,
            sections: List::of([]),
        })
    };
    // It was sent first, and comes last.
    for number in 2..40 {
        stage.tells(&liar, &answers(number));
    }
    let message = whole(&stage, &liar, &[("11 v2:0.01", Kind::Vector { components: 2 })]);
    stage.tells(&liar, &message);
    for peer in &stage.honest {
        let pointer = peer.store().root::<Playground>().unwrap().pointer;
        assert!((pointer[0] - 0.07).abs() < 0.001, "{pointer:?}");
    }
}
