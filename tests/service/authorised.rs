//! Who comes in where the application's own server is asked.

use std::time::Duration;

use parlor::proto::authorisation::Verdict;
use parlor::proto::config::HubConfig;
use parlor::proto::token::{Role, TokenFault};
use parlor::{Class, Entrance, Reason, Refusal, Request, RequestError, Right, ServiceError, State};

use super::stage::{CALM, ROUGH, Stage, Weather, key, name};
use super::tokens::{WRITER, claims, issue, ring, with};

/// A relay that asks about everybody.
fn stage(seed: u64, weather: Weather) -> Stage {
    let mut stage = Stage::new(seed, weather, HubConfig::default());
    stage.hub.ask_at_the_door(key().app());
    stage
}

const fn allowed() -> Option<Verdict> {
    Some(Verdict::Allowed { roles: None })
}

fn roles(roles: &[Role]) -> Option<Verdict> {
    Some(Verdict::Allowed { roles: Some(roles.iter().copied().collect()) })
}

fn refused(message: &str, context: &str) -> Option<Verdict> {
    Some(Verdict::Refused { message: message.to_owned(), context: context.to_owned() })
}

#[test]
fn who_is_allowed_comes_in_and_was_asked_about_once() {
    for seed in 0..20 {
        let mut stage = stage(seed, ROUGH);
        let entrance = Entrance { context: "session 12".to_owned(), ..Entrance::default() };
        let ann = stage.enter(1, "room", entrance);
        let question = stage.answer(allowed());
        assert_eq!(question.app, key().app());
        assert_eq!(question.room, name("room"));
        assert_eq!(question.peer, stage.id(ann));
        assert_eq!(question.context, "session 12");
        stage.ready(ann);
        assert!(stage.asked.is_empty(), "what is said again is not asked again");
        // Who comes back is asked about as one who comes.
        stage.cut(ann);
        stage.answer(allowed());
        stage.ready(ann);
    }
}

#[test]
fn nobody_is_in_before_the_server_has_spoken() {
    let mut stage = stage(1, CALM);
    let ann = stage.enter(1, "room", Entrance::default());
    stage.until("asked", |stage| !stage.asked.is_empty());
    stage.run(Duration::from_secs(4));
    assert_eq!(*stage.at(ann).state(), State::Joining);
    assert_eq!(stage.hub.rooms().count(), 0);
    assert_eq!(stage.asked.len(), 1, "it says again that it wants to come in, and waits");
    stage.answer(allowed());
    stage.ready(ann);
}

#[test]
fn who_is_refused_is_told_why_and_does_not_try_again() {
    for weather in [CALM, ROUGH] {
        let mut stage = stage(2, weather);
        let ann = stage.enter(1, "room", Entrance::default());
        stage.answer(refused("your account is closed", r#"{"code":7}"#));
        let reason = stage.closed(ann);
        let (message, context) = ("your account is closed".to_owned(), r#"{"code":7}"#.to_owned());
        assert_eq!(reason, Reason::Refused(Refusal::Unauthorised { message, context }));
        assert_eq!(reason.class(), Class::DoNotRetry);
        assert!(reason.to_string().ends_with("not let this peer in: your account is closed"));
        assert_eq!(stage.hub.rooms().count(), 0);
        let bob = stage.enter(2, "room", Entrance::default());
        stage.answer(refused("", ""));
        assert!(stage.closed(bob).to_string().ends_with("not let this peer in"));
    }
}

#[test]
fn without_a_good_answer_nobody_comes_in_and_it_is_tried_again() {
    let mut stage = stage(3, CALM);
    let ann = stage.enter(1, "room", Entrance::default());
    stage.answer(None);
    stage.until("sent away", |stage| matches!(stage.at(ann).state(), State::Reconnecting { .. }));
    let State::Reconnecting { reason, .. } = stage.at(ann).state().clone() else { panic!() };
    assert_eq!(reason, Reason::Refused(Refusal::Unanswered));
    assert_eq!(reason.class(), Class::Retry);
    stage.answer(allowed());
    stage.ready(ann);
}

#[test]
fn a_server_that_is_silent_is_waited_for_no_longer_than_that() {
    let mut stage = stage(4, CALM);
    let began = stage.now;
    let ann = stage.enter(1, "room", Entrance::default());
    stage.until("asked", |stage| !stage.asked.is_empty());
    let (link, _) = stage.asked[0];
    stage.until("sent away", |stage| matches!(stage.at(ann).state(), State::Reconnecting { .. }));
    let waited = stage.now - began;
    assert!((5_000..5_200).contains(&waited.as_millis()), "{waited:?}");
    // Its answer is of a link that is no more, and the other is waited for.
    stage.until("asked again", |stage| stage.asked.len() == 2);
    assert_ne!(stage.asked[1].0, link);
    stage.answer(allowed());
    stage.run(Duration::from_secs(1));
    assert_eq!(stage.hub.rooms().count(), 0);
    stage.answer(allowed());
    stage.ready(ann);
}

#[test]
fn who_may_not_come_in_anyway_is_not_asked_about() {
    let mut stage = stage(5, CALM);
    let bob = stage.enter(2, "room", Entrance { create: false, ..Entrance::default() });
    assert_eq!(stage.closed(bob), Reason::Refused(Refusal::NoSuchRoom));
    let ann = stage.enter(1, "room", Entrance::default());
    stage.answer(allowed());
    stage.ready(ann);
    stage.done(ann, &Request::SetPassword(Some("sesame".to_owned())));
    let bob = stage.enter(2, "room", Entrance::default());
    assert_eq!(stage.closed(bob), Reason::Refused(Refusal::WrongPassword));
    assert!(stage.asked.is_empty());
    // What changes meanwhile counts.
    let password = Some("sesame".to_owned());
    let eve = stage.enter(3, "room", Entrance { password, ..Entrance::default() });
    stage.until("asked", |stage| !stage.asked.is_empty());
    stage.done(ann, &Request::Lock(true));
    stage.answer(allowed());
    assert_eq!(stage.closed(eve), Reason::Refused(Refusal::Locked));
}

#[test]
fn who_leaves_meanwhile_is_not_in_by_a_late_word() {
    let mut stage = stage(6, CALM);
    let ann = stage.enter(1, "room", Entrance::default());
    stage.until("asked", |stage| !stage.asked.is_empty());
    stage.leave(ann);
    stage.run(Duration::from_secs(1));
    stage.answer(allowed());
    stage.run(Duration::from_secs(1));
    assert_eq!(stage.closed(ann), Reason::Left);
    assert_eq!(stage.hub.rooms().count(), 0);
}

#[test]
fn the_server_says_what_somebody_may_do() {
    let mut stage = stage(7, CALM);
    let ann = stage.enter(1, "room", Entrance::default());
    stage.answer(allowed());
    let bob = stage.enter(2, "room", Entrance::default());
    stage.answer(roles(&[Role::Join]));
    let eve = stage.enter(3, "room", Entrance::default());
    stage.answer(roles(&[Role::Join, Role::Write, Role::Moderate]));
    for end in [ann, bob, eve] {
        stage.ready(end);
    }
    stage.write(bob, 7);
    assert!(stage.was_read_only(bob));
    stage.write(eve, 8);
    assert_eq!((stage.read(ann), stage.read(bob)), (8, 8));
    let ban = Duration::from_secs(60);
    let kick = Request::Kick { peer: stage.id(bob), ban };
    stage.done(eve, &kick);
    assert_eq!(stage.closed(bob), Reason::Refused(Refusal::Kicked { ban_s: 60 }));
    // Roles without the first are none.
    let dan = stage.enter(4, "room", Entrance::default());
    stage.answer(roles(&[Role::Write]));
    let (message, context) = (String::new(), String::new());
    let why = Refusal::Unauthorised { message, context };
    assert_eq!(stage.closed(dan), Reason::Refused(why));
}

#[test]
fn the_server_does_not_widen_a_token_nor_does_another_token() {
    let mut stage = stage(8, CALM);
    stage.hub.require_tokens(key().app(), ring());
    let nobody = stage.enter(9, "room", Entrance::default());
    let why = TokenFault::Missing;
    assert_eq!(stage.closed(nobody), Reason::Refused(Refusal::Token { why }));
    assert!(stage.asked.is_empty(), "without a token nobody is asked");

    let token = |seconds| issue(1, &claims(1, "room", &WRITER, seconds));
    let ann = stage.enter(1, "room", with(token(600)));
    stage.answer(roles(&[Role::Join, Role::Moderate]));
    stage.ready(ann);
    for token in [token(700), token(800)] {
        stage.write(ann, 7);
        assert!(stage.was_read_only(ann));
        stage.ends[ann].events.clear();
        stage.done(ann, &Request::Renew(token));
    }
    let bob = stage.enter(2, "room", with(issue(1, &claims(2, "room", &WRITER, 600))));
    stage.answer(roles(&[Role::Join, Role::Write, Role::Moderate]));
    stage.ready(bob);
    let ban = Duration::from_secs(60);
    let kick = Request::Kick { peer: stage.id(ann), ban };
    let not_allowed = ServiceError::NotAllowed { who: Right::Moderator };
    assert_eq!(stage.request(bob, &kick), Err(RequestError::Refused(not_allowed)));
}
