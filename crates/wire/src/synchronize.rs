//! State in parts: how a runtime tells more than fits into one message (quirk C4, `spec/wire.md` 5.3).
//!
//! The reference guesses how many objects fit and halves its guess when it was wrong, which crashes or never ends for
//! ordinary nodes (quirks C1 to C3). Here each object is encoded once, and parts are filled by what they weigh. Receivers
//! see nothing new: pods before containers, `more` in all parts but the last.

use std::fmt;
use std::vec::IntoIter;

use prost::Message;
use prost::encoding::encoded_len_varint;

use crate::api::{Container, PodSandbox, SynchronizeRequest};
use crate::limits::{MESSAGE_MAX, SYNCHRONIZE_BUDGET};

/// Objects on their way into parts. As an iterator it yields the parts; there is always at least one.
///
/// ```
/// use nri_wire::api::PodSandbox;
/// use nri_wire::synchronize::Parts;
/// let pods = vec![PodSandbox { id: "a".into(), ..Default::default() }; 3];
/// let parts: Vec<_> = Parts::with_budget(pods, Vec::new(), 12)?.collect();
/// assert_eq!(parts.iter().map(|part| (part.pods.len(), part.more)).collect::<Vec<_>>(), [(2, true), (1, false)]);
/// # Ok::<(), nri_wire::synchronize::ObjectTooLong>(())
/// ```
#[derive(Debug)]
pub struct Parts {
    pods: Measured<PodSandbox>,
    containers: Measured<Container>,
    budget: usize,
    is_done: bool,
}

/// One object is too long for any message. Nothing can be told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectTooLong {
    /// What it is: `pod` or `container`.
    pub kind: &'static str,
    /// Its id.
    pub id: String,
    /// Its encoded length, bytes.
    pub len: usize,
    /// The most that is taken, bytes.
    pub max: usize,
}

impl fmt::Display for ObjectTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, id, len, max } = self;
        write!(f, "{kind} {id} takes {len} bytes, more than a message of {max} bytes has room for")
    }
}

impl std::error::Error for ObjectTooLong {}

impl Parts {
    /// Parts of up to [`SYNCHRONIZE_BUDGET`] bytes.
    ///
    /// # Errors
    /// The first object that is too long.
    pub fn new(pods: Vec<PodSandbox>, containers: Vec<Container>) -> Result<Self, ObjectTooLong> {
        Self::with_budget(pods, containers, SYNCHRONIZE_BUDGET)
    }

    /// Parts of up to `budget` bytes. For peers that cannot take parts: with [`MESSAGE_MAX`] and one part expected.
    ///
    /// # Errors
    /// The first object that is too long.
    pub fn with_budget(
        pods: Vec<PodSandbox>,
        containers: Vec<Container>,
        budget: usize,
    ) -> Result<Self, ObjectTooLong> {
        let budget = budget.min(MESSAGE_MAX);
        let pods = Measured::new(pods, "pod", budget, |pod| &pod.id)?;
        let containers = Measured::new(containers, "container", budget, |container| &container.id)?;
        Ok(Self { pods, containers, budget, is_done: false })
    }
}

impl Iterator for Parts {
    type Item = SynchronizeRequest;

    fn next(&mut self) -> Option<SynchronizeRequest> {
        if self.is_done {
            return None;
        }
        // `more` itself takes two bytes.
        let mut room = self.budget.saturating_sub(MORE_LEN);
        let pods = self.pods.take(&mut room);
        let containers = if self.pods.is_empty() { self.containers.take(&mut room) } else { Vec::new() };
        let more = !(self.pods.is_empty() && self.containers.is_empty());
        self.is_done = !more;
        Some(SynchronizeRequest { pods, containers, more })
    }
}

const MORE_LEN: usize = 2;

#[derive(Debug)]
struct Measured<T> {
    objects: IntoIter<T>,
    lens: IntoIter<usize>,
}

impl<T: Message> Measured<T> {
    fn new(
        objects: Vec<T>,
        kind: &'static str,
        budget: usize,
        id: impl Fn(&T) -> &String,
    ) -> Result<Self, ObjectTooLong> {
        let max = budget.saturating_sub(MORE_LEN);
        let mut lens = Vec::with_capacity(objects.len());
        for object in &objects {
            let len = object.encoded_len();
            let with_tag = 1 + encoded_len_varint(len as u64) + len;
            if with_tag > max {
                return Err(ObjectTooLong { kind, id: id(object).clone(), len, max });
            }
            lens.push(with_tag);
        }
        Ok(Self { objects: objects.into_iter(), lens: lens.into_iter() })
    }

    fn is_empty(&self) -> bool {
        self.lens.as_slice().is_empty()
    }

    /// Takes objects off the front as long as they fit.
    fn take(&mut self, room: &mut usize) -> Vec<T> {
        let mut count = 0;
        for &len in self.lens.as_slice() {
            let Some(left) = room.checked_sub(len) else { break };
            *room = left;
            count += 1;
        }
        self.lens.by_ref().take(count).for_each(drop);
        self.objects.by_ref().take(count).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pods(count: usize, len: usize) -> Vec<PodSandbox> {
        let pod = |index| PodSandbox { id: format!("p{index}"), name: "x".repeat(len), ..Default::default() };
        (0..count).map(pod).collect()
    }

    fn containers(count: usize, len: usize) -> Vec<Container> {
        let container =
            |index| Container { id: format!("c{index}"), name: "x".repeat(len), ..Default::default() };
        (0..count).map(container).collect()
    }

    /// EXT-020 to EXT-023, and the edges: everything arrives once, in order, within the budget.
    #[test]
    fn everything_arrives() {
        for (pod_count, container_count, len, parts) in [
            (0, 0, 0, 1),
            (1, 0, 10, 1),
            (0, 1, 10, 1),
            (20, 40, 200_000, 3),
            (1, 30, 200_000, 2),
            (1, 9, 1_000_000, 3),
            (4, 4, 1_200_000, 3),
            (300, 300, 30_000, 5),
            (0, 5_000, 3_000, 4),
        ] {
            let (pods, containers) = (pods(pod_count, len), containers(container_count, len));
            let requests: Vec<_> = Parts::new(pods.clone(), containers.clone()).unwrap().collect();
            assert_eq!(requests.len(), parts, "{pod_count} {container_count} {len}");
            let (last, others) = requests.split_last().unwrap();
            assert!(!last.more && others.iter().all(|request| request.more));
            assert!(requests.iter().all(|request| request.encoded_len() <= SYNCHRONIZE_BUDGET));
            assert_eq!(requests.iter().flat_map(|request| request.pods.clone()).collect::<Vec<_>>(), pods);
            let arrived: Vec<_> = requests.iter().flat_map(|request| request.containers.clone()).collect();
            assert_eq!(arrived, containers);
            let is_full =
                |request: &SynchronizeRequest| !request.pods.is_empty() || !request.containers.is_empty();
            assert!(requests.len() == 1 || requests.iter().all(is_full), "C1: an empty part");
        }
    }

    #[test]
    fn an_object_that_is_too_long_is_named() {
        let error = Parts::new(pods(1, 10), containers(2, 5 << 20)).unwrap_err();
        assert_eq!((error.kind, error.id.as_str()), ("container", "c0"));
        assert!(Parts::with_budget(pods(1, 100), Vec::new(), 3).is_err());
        assert!(Parts::with_budget(Vec::new(), Vec::new(), 0).is_ok());
    }
}
