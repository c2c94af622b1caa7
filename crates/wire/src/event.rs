//! Events and subscription masks (`spec/api.md` 7): event *n* is bit *n* − 1 of a mask.

use std::fmt;
use std::str::FromStr;

pub use crate::api::Event;

/// The events that a plugin subscribes to.
///
/// ```
/// use nri_wire::event::{Event, EventMask};
/// let mask: EventMask = "pod,CreateContainer".parse()?;
/// assert!(mask.contains(Event::RunPodSandbox) && mask.contains(Event::CreateContainer));
/// assert_eq!(mask.bits(), 0x180f);
/// # Ok::<(), nri_wire::event::UnknownEvent>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct EventMask(i32);

/// Every event with its display name, in the order of their numbers.
pub const EVENTS: [(Event, &str); 14] = [
    (Event::RunPodSandbox, "RunPodSandbox"),
    (Event::StopPodSandbox, "StopPodSandbox"),
    (Event::RemovePodSandbox, "RemovePodSandbox"),
    (Event::CreateContainer, "CreateContainer"),
    (Event::PostCreateContainer, "PostCreateContainer"),
    (Event::StartContainer, "StartContainer"),
    (Event::PostStartContainer, "PostStartContainer"),
    (Event::UpdateContainer, "UpdateContainer"),
    (Event::PostUpdateContainer, "PostUpdateContainer"),
    (Event::StopContainer, "StopContainer"),
    (Event::RemoveContainer, "RemoveContainer"),
    (Event::UpdatePodSandbox, "UpdatePodSandbox"),
    (Event::PostUpdatePodSandbox, "PostUpdatePodSandbox"),
    (Event::ValidateContainerAdjustment, "ValidateContainerAdjustment"),
];

impl EventMask {
    /// No event. On the wire this stands for *all* events (`spec/wire.md` 5.2).
    pub const NONE: Self = Self(0);
    /// Every event of NRI 0.10 and later.
    pub const ALL: Self = Self(0x3fff);
    /// Every event that runtimes before NRI 0.10 know; they refuse others (`spec/wire.md` 7.3).
    pub const BEFORE_0_10: Self = Self(0x07ff);

    /// The mask with just these bits, also ones that stand for no event.
    #[must_use]
    pub const fn from_bits(bits: i32) -> Self {
        Self(bits)
    }

    /// The bits as they go over the wire.
    #[must_use]
    pub const fn bits(self) -> i32 {
        self.0
    }

    /// This mask and the event. `Unknown` and `Last` are no events and change nothing (quirk H3).
    #[must_use]
    pub const fn with(self, event: Event) -> Self {
        Self(self.0 | bit(event))
    }

    /// Whether the event is in the mask.
    #[must_use]
    pub const fn contains(self, event: Event) -> bool {
        self.0 & bit(event) != 0
    }

    /// The events in both masks.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The bits of this mask that are not in the other one.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether no bit is set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The events in the order of their numbers.
    pub fn events(self) -> impl Iterator<Item = Event> {
        EVENTS.into_iter().map(|(event, _)| event).filter(move |&event| self.contains(event))
    }
}

/// The name for people of an event, or `unknown(N)`.
#[must_use]
pub fn display_name(event: Event) -> &'static str {
    EVENTS.iter().find(|(e, _)| *e == event).map_or("unknown", |(_, name)| name)
}

/// Whether the event is about a pod alone.
#[must_use]
pub const fn is_of_pod(event: Event) -> bool {
    matches!(
        event,
        Event::RunPodSandbox
            | Event::UpdatePodSandbox
            | Event::PostUpdatePodSandbox
            | Event::StopPodSandbox
            | Event::RemovePodSandbox
    )
}

const fn bit(event: Event) -> i32 {
    match event {
        Event::Unknown | Event::Last => 0,
        _ => 1 << (event as i32 - 1),
    }
}

impl fmt::Display for EventMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for event in self.events() {
            write!(f, "{separator}{}", display_name(event))?;
            separator = ",";
        }
        match self.without(Self::ALL) {
            Self::NONE => Ok(()),
            rest => write!(f, "{separator}unknown({:#x})", rest.0),
        }
    }
}

impl fmt::Debug for EventMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A piece of a subscription that names no event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownEvent(pub String);

impl fmt::Display for UnknownEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown event {:?}", self.0)
    }
}

impl std::error::Error for UnknownEvent {}

impl FromStr for EventMask {
    type Err = UnknownEvent;

    /// Names of events and the groups `all`, `pod`, `podsandbox`, `container`, separated by commas; case does
    /// not matter, nor do blanks around a piece (quirk H6).
    fn from_str(text: &str) -> Result<Self, UnknownEvent> {
        text.split(',').try_fold(Self::NONE, |mask, piece| {
            let name = piece.trim().to_ascii_lowercase();
            let group = |word: &str| {
                EVENTS
                    .into_iter()
                    .filter(|(_, n)| n.to_ascii_lowercase().contains(word))
                    .fold(mask, |m, (e, _)| m.with(e))
            };
            match name.as_str() {
                "all" => Ok(Self(mask.0 | Self::ALL.0)),
                "pod" | "podsandbox" => Ok(group("pod")),
                "container" => Ok(group("container")),
                _ => EVENTS
                    .into_iter()
                    .find(|(_, n)| n.eq_ignore_ascii_case(&name))
                    .map(|(event, _)| mask.with(event))
                    .ok_or_else(|| UnknownEvent(piece.to_owned())),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_from_text() {
        for (text, bits) in [
            ("all", 0x3fff),
            ("pod", 0x1807),
            ("podsandbox", 0x1807),
            ("container", 0x27f8),
            ("RunPodSandbox", 1),
            (" stopcontainer ,RUNPODSANDBOX", 0x201),
            (" pod ", 0x1807),
        ] {
            assert_eq!(text.parse::<EventMask>().unwrap().bits(), bits, "{text}");
        }
        for text in ["", "foo", "pod,", "Unknown"] {
            assert!(text.parse::<EventMask>().is_err(), "{text}");
        }
    }

    #[test]
    fn masks_as_text() {
        assert_eq!(EventMask::from_bits(0x4009).to_string(), "RunPodSandbox,CreateContainer,unknown(0x4000)");
        assert_eq!(EventMask::ALL.events().count(), 14);
    }

    /// Quirk H3: asking for event 0 is no programming error here.
    #[test]
    fn no_event_is_in_no_mask() {
        assert!(!EventMask::ALL.contains(Event::Unknown));
        assert!(!EventMask::ALL.contains(Event::Last));
    }
}
