//! Voice of one identity that has two links with its relay, as somebody who is in a lobby and in a room:
//! each has what is its own, by whichever way it comes.

use super::voice::{FRAME, Relaying, first, number, pop_all, speaking, topic, ways};
use super::*;

use parlor::proto::audio::stream::Tune;

#[tokio::test(flavor = "multi_thread")]
async fn packets_do_not_take_turns_between_links_of_one_peer() {
    for way in ways() {
        let name = format!("{} {}", way.0, way.1.datagrams_unread);
        let relay = Relaying::start(way).await;
        let mut ada = relay.guest(2).await;
        let mut twins = [relay.guest(3).await, relay.guest(3).await];
        let topics = [topic(1), topic(2)];
        topics.iter().for_each(|topic| ada.tune(*topic, Tune::Speak));
        let mut heard = Vec::new();
        for (twin, topic) in twins.iter_mut().zip(topics) {
            twin.tune(topic, Tune::Hear);
            heard.push(twin.listen(topic));
        }
        let _speaking = speaking(ada.desk.clone(), topics.to_vec(), 7);
        for arrivals in &mut heard {
            first(arrivals).await;
        }
        tokio::time::sleep(FRAME * 50).await;
        for arrivals in &mut heard {
            let numbers: Vec<_> = pop_all(arrivals).iter().map(|bytes| number(bytes)).collect();
            assert!(numbers.len() >= 40, "{name}: {numbers:?}");
            let missing = numbers.last().unwrap() - numbers[0] + 1 - numbers.len() as u32;
            assert!(missing <= 2, "{name}: {missing} are missing of {numbers:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_speaks_by_one_link_is_heard_whatever_the_other_does() {
    for way in ways() {
        let name = format!("{} {}", way.0, way.1.datagrams_unread);
        let relay = Relaying::start(way).await;
        let (_idle, mut ada) = (relay.guest(2).await, relay.guest(2).await);
        let mut ben = relay.guest(3).await;
        ada.tune(topic(1), Tune::Speak);
        ben.tune(topic(1), Tune::Hear);
        let mut bens = ben.listen(topic(1));
        let _speaking = speaking(ada.desk.clone(), vec![topic(1)], 7);
        first(&mut bens).await;
        tokio::time::sleep(FRAME * 50).await;
        let heard = pop_all(&mut bens).len();
        assert!(heard >= 40, "{name}: {heard}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_link_is_to_have_the_other_does_not_get() {
    for way in ways() {
        let name = format!("{} {}", way.0, way.1.datagrams_unread);
        let relay = Relaying::start(way).await;
        let (mut ada, mut ben) = (relay.guest(2).await, relay.guest(3).await);
        let (mut twin, mut cy) = (relay.guest(3).await, relay.guest(4).await);
        ada.tune(topic(1), Tune::Speak);
        ben.tune(topic(1), Tune::Hear);
        cy.tune(topic(1), Tune::Hear);
        let [mut bens, mut twins, mut cys] = [&ben, &twin, &cy].map(|guest| guest.listen(topic(1)));
        // Its own end wants to; the relay was not asked.
        let (link, tune) = (twin.link, Tune::Hear);
        twin.carrier.perform(Effect::Tune { link, topic: topic(1), tune });
        let _speaking = speaking(ada.desk.clone(), vec![topic(1)], 7);
        first(&mut bens).await;
        tokio::time::sleep(FRAME * 25).await;
        // The link that was to have it is over.
        drop(ben);
        tokio::time::sleep(FRAME * 25).await;
        assert!(pop_all(&mut cys).len() >= 40, "{name}");
        assert_eq!(pop_all(&mut twins).len(), 0, "{name}");
    }
}
