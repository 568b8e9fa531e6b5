//! Events that wait for an application: so many, and none that is the only word of something is lost for
//! others.

use std::collections::VecDeque;

use super::Event;
#[cfg(feature = "net")]
use super::voice::VoiceEvent;

/// Lets an event wait for the application. Of levels that wait only the last are kept.
#[cfg(feature = "net")]
pub(crate) fn wait(events: &mut VecDeque<Event>, event: Event) {
    let levels = |event: &Event| matches!(event, Event::Voice(VoiceEvent::Levels(_)));
    if levels(&event) {
        events.retain(|event| !levels(event));
    }
    events.push_back(event);
}

/// Makes room for more events: all go for one [`Event::Overrun`], but those that are the only word of
/// something. Of them, too, half of the capacity is kept.
pub(crate) fn overrun(events: &mut VecDeque<Event>, capacity: usize) {
    events.retain(|event| {
        matches!(
            event,
            Event::Settled { .. }
                | Event::SignalSettled { .. }
                | Event::SignalLost { .. }
                | Event::Answered { .. }
                | Event::TokenEnds { .. }
        )
    });
    let most = capacity / 2;
    events.drain(..events.len().saturating_sub(most));
    events.push_back(Event::Overrun);
}
