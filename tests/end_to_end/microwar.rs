//! Voice that goes with its room, in every order and at every moment in which a known sample of another
//! service goes wrong. What it gets wrong, and the test that holds here:
//!
//! | there | here |
//! |---|---|
//! | the switch for voice does nothing; a guest's choice is never applied | `what_a_guest_chooses_holds_at_once_and_for_the_guest_alone` |
//! | a choice made out of the room is lost | `what_is_chosen_before_the_room_is_there_holds_in_it` |
//! | no mute, volume or sign of speaking for each player | `listening::a_listener_hears_whom_it_wants_to_and_as_loud`, `listening::everybody_is_told_how_loud_it_is_and_who_speaks_until_it_is_muted` |
//! | a failure to create, list or connect has no text | `rooms::a_door_says_why_it_stays_shut`, `rooms::nobody_answers_and_it_is_said` |
//! | a join that fails goes on to read a room that is not there | `rooms::a_join_that_fails_ends_and_can_be_tried_again`, `a_shut_door_ends_the_join_of_voice_with_its_reason` |
//! | a leave that fails leaves the member inside, at the service | `rooms::who_leaves_before_it_is_in_is_never_in`, `who_leaves_voice_while_the_link_is_down_stays_out` |
//! | who is put out is not told, or its state stays | `rooms::who_is_put_out_is_told_and_stays_out`, `who_is_put_out_is_out_of_voice_and_knows_why` |
//! | no list of members is taken for an empty one; what is of another room is taken for this one's | `rooms::who_goes_from_room_to_room_is_in_the_last_alone` |
//! | a lost link counts as the end, and what comes back is not read anew | `rooms::a_lost_link_is_no_exit`, `a_lost_link_is_no_end_of_voice_and_all_comes_back_as_it_was` |
//! | voice is silent because its own token could not be had | there is none: the room's says who may speak |
//! | the result of a join is not looked at | `a_join_is_one_however_often_it_is_asked_for`, `a_shut_door_ends_the_join_of_voice_with_its_reason` |
//! | an expiring token is sent again as it is | `rooms::a_token_is_renewed_and_never_said_again`; at the wall `who_may_speak_until_a_time_is_warned_and_silent_then` |
//! | a lost link makes it forget its room, so that it is never left | `who_leaves_voice_while_the_link_is_down_stays_out` |
//! | who comes back has to publish and capture again by itself | `a_lost_link_is_no_end_of_voice_and_all_comes_back_as_it_was` |
//! | who leaves before its join is complete is in voice without a room | `leaving_wins_over_a_join_at_any_moment` |
//! | who goes from room to room leaves the new voice, and not the old | `who_goes_from_room_to_room_speaks_in_the_last_alone` |
//! | errors of voice are seen by nobody | at the wall `nobody_hears_who_may_not_speak_whatever_it_publishes`, `a_member_has_so_many_streams_and_a_relay_may_carry_none` |
//! | a second start never completes | `rooms::tries_end_and_begin_again_when_asked`, `a_room_that_goes_online_again_takes_its_voice_along` |

use std::time::Duration;

use parlor::proto::config::HubConfig;
use parlor::proto::event::State;
use parlor::proto::reason::{Reason, Refusal};
use parlor::{
    Answer, Hearing, Identity, PeerId, Request, VoiceEvent, VoiceJoin, VoiceLeave, VoiceOptions,
};

use super::listening::{Member, hears, run, run_until, start};
use super::{Host, within};

fn voice() -> Option<VoiceOptions> {
    Some(VoiceOptions::default())
}

/// How a member came into voice and went.
fn ways(member: &Member) -> Vec<VoiceEvent> {
    let is_one =
        |told: &&VoiceEvent| matches!(told, VoiceEvent::Joined { .. } | VoiceEvent::Left { .. });
    member.told.iter().filter(is_one).cloned().collect()
}

fn joined(how: VoiceJoin) -> VoiceEvent {
    VoiceEvent::Joined { how }
}

fn left(why: VoiceLeave) -> VoiceEvent {
    VoiceEvent::Left { why }
}

fn streams_of(peer: PeerId, at: &Member) -> usize {
    at.room.streams().filter(|stream| stream.peer == peer).count()
}

fn is_ready(member: &Member) -> bool {
    *member.room.state() == State::Ready
}

async fn done(member: &mut Member, request: Request) {
    assert_eq!(within(member.room.request(&request)).await, Ok(Answer::Done), "{request:?}");
}

/// Ends a relay, and lets the members know.
async fn cut(host: Host, members: &mut [Member]) -> Vec<String> {
    let addresses = host.addresses.clone();
    host.stop().await;
    let knows = |member: &Member| matches!(member.room.state(), State::Reconnecting { .. });
    run_until(members, |members| members.iter().all(knows)).await;
    let local = |address: &String| address.split("/p2p/").next().unwrap().to_owned();
    addresses.iter().map(local).collect()
}

/// The relay comes back, with nothing.
async fn again(listen: &[String]) -> Host {
    let listen: Vec<&str> = listen.iter().map(String::as_str).collect();
    Box::pin(Host::start(&Identity::from_seed([1; 32]), &listen, HubConfig::default())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn leaving_wins_over_a_join_at_any_moment() {
    let host = start().await;
    let mut members = vec![Member::enter(&host, 2, 0.0, None)];
    for (number, wait) in [0, 3, 10, 30, 100].into_iter().enumerate() {
        let mut member = Member::enter(&host, 3 + number as u8, 200.0, voice());
        member.speak();
        member.room.wait(Duration::from_millis(wait)).await;
        assert!(member.room.leave_voice() && !member.room.leave_voice());
        members.push(member);
    }
    run_until(&mut members, |members| members.iter().all(is_ready)).await;
    run(&mut members, Duration::from_millis(300)).await;
    for member in &members[1..] {
        let ways = ways(member);
        assert_eq!(ways.last(), Some(&left(VoiceLeave::Asked)));
        assert!(
            ways.len() == 1 || ways[..ways.len() - 1] == [joined(VoiceJoin::First)],
            "{ways:?}"
        );
        assert!(!member.room.is_in_voice() && !member.input.as_ref().unwrap().is_live());
    }
    assert_eq!(members[0].room.streams().count(), 0, "nobody speaks in a room that it left");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_is_one_however_often_it_is_asked_for() {
    let host = start().await;
    let mut members = vec![Member::enter(&host, 2, 0.0, voice())];
    members[0].room.join_voice(VoiceOptions::default()).unwrap();
    run_until(&mut members, |members| members[0].room.is_in_voice()).await;
    members[0].room.join_voice(VoiceOptions::default()).unwrap();
    run(&mut members, Duration::from_millis(100)).await;
    assert_eq!(ways(&members[0]), [joined(VoiceJoin::First)]);
    assert!(members[0].room.leave_voice());
    members[0].room.join_voice(VoiceOptions::default()).unwrap();
    run_until(&mut members, |members| members[0].room.is_in_voice()).await;
    run(&mut members, Duration::from_millis(20)).await;
    let first = joined(VoiceJoin::First);
    assert_eq!(ways(&members[0]), [first.clone(), left(VoiceLeave::Asked), first]);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_chosen_before_the_room_is_there_holds_in_it() {
    let host = start().await;
    let mut members = vec![
        Member::enter(&host, 2, 200.0, voice()),
        Member::enter(&host, 3, 310.0, voice()),
        Member::enter(&host, 4, 0.0, None),
    ];
    let [one, other] = [0, 1].map(|at| members[at].room.peer());
    members.iter_mut().take(2).for_each(Member::speak);
    let number = members[0].input.as_ref().unwrap().number();
    members[0].room.mute_audio_input(number, true);
    members[2].listen();
    members[2].room.silence_for_me(other, true).unwrap();
    members[2].room.set_gain(one, 2.0).unwrap();
    members[2].room.join_voice(VoiceOptions::default()).unwrap();
    run_until(&mut members, |members| {
        members.iter().all(|member| member.room.is_in_voice())
            && members[2].room.streams().count() == 2
    })
    .await;
    run(&mut members, Duration::from_millis(500)).await;
    hears(&mut members, &[false, false]).await;
    assert!((members[2].room.gain(one) - 2.0).abs() < f32::EPSILON);
    members[0].room.mute_audio_input(number, false);
    hears(&mut members, &[true, false]).await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_guest_chooses_holds_at_once_and_for_the_guest_alone() {
    let host = start().await;
    let mut members = vec![
        // Who is first owns the room.
        Member::enter(&host, 2, 200.0, voice()),
        Member::enter(&host, 3, 310.0, voice()),
        Member::enter(&host, 4, 0.0, voice()),
    ];
    members.iter_mut().take(2).for_each(Member::speak);
    members.iter_mut().for_each(Member::listen);
    hears(&mut members, &[true, true]).await;
    let one = members[0].room.peer();
    members[1].room.silence_for_me(one, true).unwrap();
    // The guest hears nobody, the other still all.
    hears(&mut members, &[true, true]).await;
    assert_eq!(members[1].listener.as_ref().unwrap().voices(), 0);
    let number = members[1].input.as_ref().unwrap().number();
    members[1].room.mute_audio_input(number, true);
    hears(&mut members, &[true, false]).await;
    members[1].room.mute_audio_input(number, false);
    hears(&mut members, &[true, true]).await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_link_is_no_end_of_voice_and_all_comes_back_as_it_was() {
    let host = start().await;
    let mut members = vec![
        Member::enter(&host, 2, 200.0, voice()),
        Member::enter(&host, 3, 310.0, voice()),
        Member::enter(&host, 4, 0.0, voice()),
    ];
    let [one, other] = [0, 1].map(|at| members[at].room.peer());
    members.iter_mut().take(2).for_each(Member::speak);
    members[2].listen();
    hears(&mut members, &[true, true]).await;
    members[2].room.silence_for_me(other, true).unwrap();
    let number = members[0].input.as_ref().unwrap().number();
    members[0].room.mute_audio_input(number, true);
    hears(&mut members, &[false, false]).await;
    let listen = cut(host, &mut members).await;
    for member in &members {
        assert!(!member.room.is_in_voice());
        let ways = ways(member);
        let lost = |way: &VoiceEvent| {
            matches!(way, VoiceEvent::Left { why: VoiceLeave::Disconnected { .. } })
        };
        assert!(ways.len() == 2 && lost(&ways[1]), "{ways:?}");
    }
    let host = again(&listen).await;
    run_until(&mut members, |members| members.iter().all(|member| member.room.is_in_voice())).await;
    run_until(&mut members, |members| members[2].room.streams().count() == 2).await;
    let muted = |member: &Member| {
        member.room.streams().find(|stream| stream.peer == one).map(|stream| stream.muted)
    };
    assert_eq!(muted(&members[2]), Some(true));
    hears(&mut members, &[false, false]).await;
    members[0].room.mute_audio_input(number, false);
    hears(&mut members, &[true, false]).await;
    for member in &mut members {
        member.room.leave();
    }
    run(&mut members, Duration::from_millis(20)).await;
    for member in &members {
        let over = VoiceLeave::RoomOver { reason: Reason::Left };
        assert_eq!(ways(member)[2..], [joined(VoiceJoin::Again), left(over)]);
    }
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_voice_while_the_link_is_down_stays_out() {
    let host = start().await;
    let mut members =
        vec![Member::enter(&host, 2, 200.0, voice()), Member::enter(&host, 3, 0.0, voice())];
    members[0].speak();
    let one = members[0].room.peer();
    run_until(&mut members, |members| streams_of(one, &members[1]) == 1).await;
    let listen = cut(host, &mut members).await;
    assert!(members[0].room.leave_voice());
    let host = again(&listen).await;
    run_until(&mut members, |members| members.iter().all(is_ready)).await;
    run(&mut members, Duration::from_millis(300)).await;
    assert_eq!(ways(&members[0]).last(), Some(&left(VoiceLeave::Asked)));
    assert_eq!(streams_of(one, &members[1]), 0);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_from_room_to_room_speaks_in_the_last_alone() {
    let host = start().await;
    let mut members =
        vec![Member::enter(&host, 2, 200.0, voice()), Member::enter(&host, 3, 0.0, voice())];
    members[0].speak();
    members[1].listen();
    hears(&mut members, &[true]).await;
    let (one, mut witness) = (members[0].room.peer(), members.pop().unwrap());
    members[0].room.leave();
    let mut second = vec![
        Member::enter_at((&host, "second"), 2, 200.0, voice()),
        Member::enter_at((&host, "second"), 4, 0.0, voice()),
    ];
    second[0].speak();
    second[1].listen();
    hears(&mut second, &[true]).await;
    run_until(std::slice::from_mut(&mut witness), |witness| streams_of(one, &witness[0]) == 0)
        .await;
    assert_eq!(streams_of(one, &second[1]), 1);
    assert!(!members[0].input.as_ref().unwrap().is_live());
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_goes_online_again_takes_its_voice_along() {
    let host = start().await;
    let mut members =
        vec![Member::enter(&host, 2, 200.0, voice()), Member::enter(&host, 3, 0.0, voice())];
    members[0].speak();
    members[1].listen();
    hears(&mut members, &[true]).await;
    let addresses: Vec<&str> = host.addresses.iter().map(String::as_str).collect();
    // Whoever of them it is that goes and comes back.
    for at in [0, 1] {
        members[at].room.leave();
        run(&mut members, Duration::from_millis(50)).await;
        hears(&mut members, &[false]).await;
        members[at].room.go_online(&addresses).unwrap();
        hears(&mut members, &[true]).await;
        let over = left(VoiceLeave::RoomOver { reason: Reason::Left });
        let all = [joined(VoiceJoin::First), over, joined(VoiceJoin::Again)];
        assert_eq!(ways(&members[at]), all);
    }
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shut_door_ends_the_join_of_voice_with_its_reason() {
    let host = start().await;
    let mut members = vec![Member::enter(&host, 2, 0.0, voice())];
    run_until(&mut members, |members| is_ready(&members[0])).await;
    done(&mut members[0], Request::Lock(true)).await;
    members.push(Member::enter(&host, 3, 200.0, voice()));
    members[1].speak();
    run_until(&mut members, |members| !ways(&members[1]).is_empty()).await;
    let over = || left(VoiceLeave::RoomOver { reason: Reason::Refused(Refusal::Locked) });
    assert_eq!(ways(&members[1]), [over()]);
    // So does each that follows, and it comes in when it may.
    let addresses: Vec<&str> = host.addresses.iter().map(String::as_str).collect();
    members[1].room.go_online(&addresses).unwrap();
    run_until(&mut members, |members| ways(&members[1]).len() == 2).await;
    done(&mut members[0], Request::Lock(false)).await;
    members[1].room.go_online(&addresses).unwrap();
    run_until(&mut members, |members| members[1].room.is_in_voice()).await;
    run(&mut members, Duration::from_millis(20)).await;
    assert_eq!(ways(&members[1]), [over(), over(), joined(VoiceJoin::First)]);
    run_until(&mut members, |members| members[0].room.streams().count() == 1).await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_put_out_is_out_of_voice_and_knows_why() {
    let host = start().await;
    let mut members = vec![Member::enter(&host, 2, 0.0, voice())];
    run_until(&mut members, |members| is_ready(&members[0])).await;
    members.push(Member::enter(&host, 3, 200.0, voice()));
    members[1].speak();
    let one = members[1].room.peer();
    run_until(&mut members, |members| streams_of(one, &members[0]) == 1).await;
    done(&mut members[0], Request::Kick { peer: one, ban: Duration::from_secs(60) }).await;
    run_until(&mut members, |members| ways(&members[1]).len() == 2).await;
    let over = VoiceLeave::RoomOver { reason: Reason::Refused(Refusal::Kicked { ban_s: 60 }) };
    assert_eq!(ways(&members[1]), [joined(VoiceJoin::First), left(over)]);
    run_until(&mut members, |members| streams_of(one, &members[0]) == 0).await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_hears_nobody_in_voice_speaks_and_may_change_its_mind() {
    let host = start().await;
    let nobody = Hearing { all: false, ..Hearing::default() };
    let options = VoiceOptions { hearing: nobody, ..VoiceOptions::default() };
    let mut members =
        vec![Member::enter(&host, 2, 200.0, voice()), Member::enter(&host, 3, 0.0, Some(options))];
    members[0].speak();
    members[1].listen();
    let one = members[0].room.peer();
    run_until(&mut members, |members| streams_of(one, &members[1]) == 1).await;
    run(&mut members, Duration::from_millis(300)).await;
    hears(&mut members, &[false]).await;
    members[1].room.set_hearing(Hearing::default()).unwrap();
    hears(&mut members, &[true]).await;
    host.stop().await;
}
