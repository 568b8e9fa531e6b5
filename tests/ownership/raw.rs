//! A member that lies changes nothing anywhere: it knows the app key, says whatever frames it likes,
//! and relay and members have afterwards what they had before. The relay goes on serving them.

use parlor::proto::change::{
    Action, Change, Key, ObjectId, Operation, Predecessors, Sealed, chunk,
};
use parlor::proto::delta::record::{Follows, Kind, Record, STATED};
use parlor::proto::log::ChangeLog;
use parlor::proto::model::handle::Handle;
use parlor::proto::model::path::Path;
use parlor::proto::model::value::Value;
use parlor::proto::ownership::{Authority, CLAIMS, Claim, META, Session};
use parlor::proto::reason::ChangeFault;
use parlor::proto::wire::message::{EntryRecord, Introduction, ResumedRecord, SignatureRecord};
use parlor::{Denial, Event, LeaveReason, Terms};

use super::craft::{
    RELAY, author, beside, change, claims, deletion, grant_to, grants_of, next, peer, record,
    renames, said, scope, signed,
};
use super::stage::{Liar, Stage};

/// The seeds of a liar, and of another that helps it. The honest have 2 and 3.
const LIAR: u8 = 1;
const HELPER: u8 = 5;

/// Nothing is as if the lie had not been said but the liar's link, which is as it should be.
fn nothing_but(stage: &mut Stage, liar: &mut Liar, lie: &[EntryRecord], ends: Option<ChangeFault>) {
    let lie: Vec<Record> = lie.iter().map(record).collect();
    nothing_of(stage, liar, &lie, ends);
}

fn nothing_of(stage: &mut Stage, liar: &mut Liar, lie: &[Record], ends: Option<ChangeFault>) {
    let before = stage.facts();
    stage.events.clear();
    stage.records(liar, lie);
    stage.run(1_500);
    assert_eq!(stage.facts(), before);
    assert_eq!(stage.ended(liar), ends);
    for event in &stage.events {
        let expelled = matches!(
            event,
            Event::Left { member, reason: LeaveReason::Expelled } if member.peer == liar.author.peer
        );
        assert!(expelled && ends.is_some(), "the honest were told of {event:?}");
    }
    assert_eq!(stage.events.len(), if ends.is_some() { 2 } else { 0 });
    stage.serves_the_honest();
}

/// A room with a liar in it.
fn infiltrated() -> (Stage, Liar) {
    let mut stage = Stage::new();
    let liar = stage.enter(LIAR);
    (stage, liar)
}

/// What an honest peer's next change would be, if it renamed the figure.
fn in_the_name_of(stage: &Stage, victim: &Introduction) -> Sealed {
    renames(stage.log(), victim, (&stage.figure, "forged"))
}

#[test]
fn a_change_under_anothers_actor_is_kept_from_everybody_without_its_authors_word() {
    for introduction in [None, Some(author(2)), Some(author(LIAR))] {
        let (mut stage, mut liar) = infiltrated();
        let lie = said(introduction, &in_the_name_of(&stage, &author(2)));
        nothing_but(&mut stage, &mut liar, &[lie], None);
    }
    // In full, as somebody's own changes may be said.
    let (mut stage, mut liar) = infiltrated();
    let lie = said(Some(author(2)), &in_the_name_of(&stage, &author(2)));
    let body = [vec![0], postcard::to_allocvec(&lie).unwrap()].concat();
    let full = Record::new(Kind::Full, Follows::Previous, 0, body);
    nothing_of(&mut stage, &mut liar, &[full], None);
}

#[test]
fn a_stripped_change_of_anothers_next_session_is_kept_from_everybody() {
    let (mut stage, mut liar) = infiltrated();
    let victim = Introduction { incarnation: Session(2).first(), ..author(2) };
    let operation = Operation {
        object: ObjectId::Root,
        key: Key::Map("1".into()),
        insert: false,
        action: Action::Put(Value::Text("lie".into())),
        predecessors: Predecessors::new(),
    };
    let (actor, operations) = (scope().actor(&victim), vec![operation]);
    let sealed =
        chunk::encode(Change { actor, sequence: 1, start: 1, deps: Vec::new(), operations });
    // Sequence, slot, author; then the check, and a text under the root's key `1`.
    let incarnation = postcard::to_allocvec(&victim.incarnation).unwrap();
    let operation = [13 | 2 << 4 | 3 << 6, 1, 3, b'l', b'i', b'e'];
    let body =
        [&[1, 0][..], victim.peer.as_bytes(), &incarnation, &sealed.hash[..1], &operation].concat();
    let lie = Record::new(Kind::Stripped, Follows::Previous, STATED, body);
    let entry = signed(LIAR, &sealed);
    nothing_of(&mut stage, &mut liar, &[lie], None);
    // It was understood, and waits: its author's word would let it in, and no other.
    nothing_but(&mut stage, &mut liar, &[entry], Some(ChangeFault::BadSignature));
}

#[test]
fn who_signs_for_another_is_expelled() {
    let (mut stage, mut liar) = infiltrated();
    let forged = in_the_name_of(&stage, &author(2));
    let lie = [said(Some(author(2)), &forged), signed(LIAR, &forged)];
    nothing_but(&mut stage, &mut liar, &lie, Some(ChangeFault::BadSignature));
}

#[test]
fn who_puts_anothers_signature_under_what_that_one_did_not_write_is_expelled() {
    let (mut stage, mut liar) = infiltrated();
    let actor = stage.log().scope().actor(&author(2));
    let genuine = stage.log().author(&actor).unwrap().signature.clone().unwrap();
    let forged = in_the_name_of(&stage, &author(2));
    let (sequence, change) = (forged.change.sequence, forged.hash);
    assert_eq!(genuine.sequence + 1, sequence);
    let lie = EntryRecord::Signed(SignatureRecord { sequence, change, ..genuine });
    let lie = [said(Some(author(2)), &forged), lie];
    nothing_but(&mut stage, &mut liar, &lie, Some(ChangeFault::BadSignature));
}

#[test]
fn who_introduces_itself_with_anothers_actor_is_expelled() {
    let (mut stage, mut liar) = infiltrated();
    let unknown = Introduction { incarnation: Session(7).first(), ..author(2) };
    let lie = in_the_name_of(&stage, &unknown);
    let lie = [said(Some(author(LIAR)), &lie)];
    nothing_but(&mut stage, &mut liar, &lie, Some(ChangeFault::WrongActor));
}

/// A liar that owned the figure, honestly, and lost it to an honest peer; and what it could see while
/// it had it.
fn dispossessed() -> (Stage, Liar, ChangeLog) {
    let (mut stage, mut liar) = infiltrated();
    let take = Claim::Take(Terms::default());
    let claim = claims(stage.log(), &liar.author, (&stage.figure, take));
    stage.says(&mut liar, &[said(Some(author(LIAR)), &claim)]);
    let figure = stage.figure.clone();
    let owner = |stage: &Stage| {
        let path = figure.path().unwrap().clone();
        stage.log().ledger().grant(path.as_str()).and_then(|grant| grant.owner())
    };
    assert_eq!(owner(&stage), Some(peer(LIAR)));
    let then = stage.log().clone();
    stage.claims(0);
    assert_eq!(owner(&stage), Some(peer(2)));
    assert_eq!((stage.ended(&liar), stage.denied(&liar)), (None, vec![]));
    (stage, liar, then)
}

#[test]
fn who_lost_a_model_writes_to_it_no_more() {
    let (mut stage, mut liar, then) = dispossessed();
    let by = peer(2);
    let old = renames(&then, &liar.author, (&stage.figure, "still mine"));
    nothing_but(&mut stage, &mut liar, &[said(None, &old)], None);
    assert_eq!(stage.denied(&liar), [Denial::Owned { by }]);
    // Nor does it without a word of having been told, nor as another incarnation, whatever it knows.
    let lie = renames(stage.log(), &liar.author, (&stage.figure, "still mine"));
    nothing_but(&mut stage, &mut liar, &[said(None, &lie)], None);
    assert_eq!(stage.denied(&liar).len(), 1);
    let again = next(liar.author);
    let resumed = EntryRecord::Resumed(ResumedRecord { incarnation: again.incarnation });
    let lie = renames(stage.log(), &again, (&stage.figure, "still mine"));
    nothing_but(&mut stage, &mut liar, &[resumed, said(Some(again), &lie)], None);
    assert_eq!(stage.denied(&liar), [Denial::Owned { by }; 2]);
}

#[test]
fn what_was_written_before_a_model_was_lost_stays_out_when_it_is_had_again() {
    let (mut stage, mut liar, then) = dispossessed();
    let figure = stage.figure.clone();
    stage.honest[0].store_mut().transfer(&figure, peer(LIAR)).unwrap();
    stage.run(200);
    let old = renames(&then, &liar.author, (&figure, "of the first time"));
    nothing_but(&mut stage, &mut liar, &[said(None, &old)], None);
    assert_eq!(stage.denied(&liar), [Denial::Outdated]);
    // Another incarnation of the session knows no more than what it has seen.
    let again = next(liar.author);
    let resumed = |author: &Introduction| {
        EntryRecord::Resumed(ResumedRecord { incarnation: author.incarnation })
    };
    let old = renames(&then, &again, (&figure, "of the first time"));
    nothing_but(&mut stage, &mut liar, &[resumed(&again), said(Some(again), &old)], None);
    assert_eq!(stage.denied(&liar), [Denial::Outdated; 2]);
    // What it writes now is its own to write.
    let last = next(again);
    let new = renames(stage.log(), &last, (&figure, "of now"));
    stage.says(&mut liar, &[resumed(&last), said(Some(last), &new)]);
    assert_eq!(stage.denied(&liar), [Denial::Outdated; 2]);
    for peer in &stage.honest {
        assert_eq!(peer.store().get(&figure).unwrap().name, "of now");
    }
}

#[test]
fn who_writes_a_grant_of_the_relay_is_expelled() {
    let (grants, relay) = (grants_of(peer(RELAY)), Authority::of(peer(RELAY)));
    let meta = Path::parse(META);
    for lie in 0..5 {
        let (mut stage, mut liar) = infiltrated();
        let figure = stage.figure.path().unwrap().clone();
        let (log, grant) = (stage.log(), grant_to(&liar.author));
        let lie = match lie {
            0 => change(log, &liar.author, (&grants, figure.as_str(), &grant)),
            1 => change(log, &liar.author, (&grants, "", &grant)),
            2 => deletion(log, &liar.author, (&grants, figure.as_str())),
            3 => beside(log, &liar.author, (&meta, relay.key(), &grant)),
            _ => beside(log, &liar.author, (&meta, CLAIMS, &Value::Null)),
        };
        let lie = [said(Some(liar.author), &lie)];
        nothing_but(&mut stage, &mut liar, &lie, Some(ChangeFault::Forged));
    }
}

/// What a liar writes first, which is let in, and another change in its place.
fn two_faced(stage: &Stage, liar: &Liar) -> [Sealed; 2] {
    ["one", "other"].map(|name| renames(stage.log(), &liar.author, (&stage.figure, name)))
}

#[test]
fn who_writes_two_changes_in_one_place_is_expelled_and_nobody_sees_the_second() {
    let (mut stage, mut liar) = infiltrated();
    let [one, other] = two_faced(&stage, &liar);
    let me = Some(liar.author);
    stage.says(&mut liar, &[said(me, &one), signed(LIAR, &one)]);
    let lie = [said(me, &other), signed(LIAR, &other)];
    nothing_but(&mut stage, &mut liar, &lie, Some(ChangeFault::Equivocation));
    let seen = stage.honest[1].store().get(&stage.figure).unwrap().name.clone();
    assert_eq!(seen, "one");
}

#[test]
fn who_comes_back_by_another_link_with_another_change_in_that_place_is_expelled() {
    let (mut stage, mut liar) = infiltrated();
    let [one, other] = two_faced(&stage, &liar);
    stage.says(&mut liar, &[said(Some(author(LIAR)), &one)]);
    stage.lose(&liar);
    let mut liar = stage.enter(LIAR);
    let lie = [said(Some(liar.author), &other)];
    nothing_but(&mut stage, &mut liar, &lie, Some(ChangeFault::Equivocation));
}

#[test]
fn who_signs_another_change_than_it_wrote_is_expelled() {
    let (mut stage, mut liar) = infiltrated();
    let [one, other] = two_faced(&stage, &liar);
    stage.says(&mut liar, &[said(Some(author(LIAR)), &one)]);
    let lie = [signed(LIAR, &other)];
    nothing_but(&mut stage, &mut liar, &lie, Some(ChangeFault::Equivocation));
}

#[test]
fn who_brings_the_second_change_of_another_with_that_ones_word_is_expelled() {
    let (mut stage, mut liar) = infiltrated();
    let mut helper = stage.enter(HELPER);
    let [one, other] = two_faced(&stage, &liar);
    stage.says(&mut liar, &[said(Some(author(LIAR)), &one)]);
    let lie = [said(Some(liar.author), &other), signed(LIAR, &other)];
    nothing_but(&mut stage, &mut helper, &lie, Some(ChangeFault::Equivocation));
    assert_eq!(stage.ended(&liar), None);
}
