//! Both roles against each other in memory: bytes travel in any portions, calls and answers cross (CONF-011, 012, 014).

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    /// One end calls, with that many bytes.
    Call { end: usize, len: usize },
    /// One end answers its oldest request, with twice as many bytes as it was asked with.
    Answer { end: usize },
    /// One end refuses its newest request.
    Refuse { end: usize },
    /// Up to that many bytes arrive at an end.
    Travel { to: usize, len: usize },
}

#[derive(Default)]
struct End {
    /// On the way to this end.
    inbox: Vec<u8>,
    requests: Vec<(RequestId, usize)>,
    /// Open calls, with the length that the answer will have.
    calls: BTreeMap<CallId, usize>,
    answered: usize,
    refused: usize,
}

struct Pair {
    connections: [Connection; 2],
    ends: [End; 2],
}

impl Pair {
    fn new() -> Self {
        let mut connections = [Connection::new(Role::Plugin), Connection::new(Role::Runtime)];
        connections[1].admit();
        Self { connections, ends: Default::default() }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Call { end, len } => {
                let request = RegisterPluginRequest { plugin_name: "x".repeat(len), ..Default::default() };
                let len = request.encoded_len();
                let message = Outgoing::call::<crate::service::RegisterPlugin>(&request, &[], None).unwrap();
                let call = self.connections[end].call(message).unwrap();
                self.ends[end].calls.insert(call, 2 * len);
            }
            Step::Answer { end } if !self.ends[end].requests.is_empty() => {
                let (id, len) = self.ends[end].requests.remove(0);
                let answer = Outgoing::response(&(), &vec![7; 2 * len]).unwrap();
                self.connections[end].answer(id, answer);
            }
            Step::Refuse { end } => {
                if let Some((id, _)) = self.ends[end].requests.pop() {
                    let status = Status::new(crate::ttrpc::Code::NotFound, "no");
                    self.connections[end].answer(id, Outgoing::failure(&status));
                }
            }
            Step::Travel { to, len } => {
                let inbox = &mut self.ends[to].inbox;
                let bytes: Vec<u8> = inbox.drain(..len.min(inbox.len())).collect();
                input(&mut self.connections[to], &bytes);
                self.look(to);
            }
            Step::Answer { .. } => {}
        }
        for end in 0..2 {
            let bytes = output(&mut self.connections[end]);
            self.ends[1 - end].inbox.extend(bytes);
        }
    }

    fn look(&mut self, at: usize) {
        let end = &mut self.ends[at];
        while let Some(event) = self.connections[at].poll_event() {
            match event {
                Event::Request(request) => end.requests.push((request.id, request.payload.len())),
                Event::Answer { call, result } => {
                    let len = end.calls.remove(&call).expect("an answer to an open call");
                    match result {
                        Ok(payload) => {
                            assert_eq!(payload.len(), len, "another call's answer");
                            end.answered += 1;
                        }
                        Err(CallFailure::Status(_)) => end.refused += 1,
                        Err(failure) => panic!("{failure:?}"),
                    }
                }
            }
        }
    }

    /// Everything arrives, everything is answered.
    fn settle(&mut self) {
        while self.ends.iter().any(|end| !end.inbox.is_empty() || !end.requests.is_empty()) {
            for end in 0..2 {
                self.step(&Step::Travel { to: end, len: usize::MAX });
                self.step(&Step::Answer { end });
            }
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let len = prop_oneof![0..300_usize, 3900..4200_usize, 0..100_000_usize];
    let step = (0..2_usize, len, 0..8_u8).prop_map(|(end, len, kind)| match kind {
        0 | 1 => Step::Call { end, len },
        2 | 3 => Step::Answer { end },
        4 => Step::Refuse { end },
        _ => Step::Travel { to: end, len },
    });
    prop::collection::vec(step, 1..100)
}

proptest! {
    #[test]
    fn every_call_gets_its_own_answer(steps in steps()) {
        let mut pair = Pair::new();
        let mut calls = [0, 0];
        for step in &steps {
            if let Step::Call { end, .. } = step {
                calls[*end] += 1;
            }
            pair.step(step);
        }
        pair.settle();
        for (end, calls) in pair.ends.iter().zip(calls) {
            prop_assert!(end.calls.is_empty());
            prop_assert_eq!(end.answered + end.refused, calls);
        }
        for connection in &pair.connections {
            prop_assert_eq!(connection.closed(), None);
            prop_assert_eq!((connection.errors, connection.output_len()), (0, 0));
        }
    }
}
