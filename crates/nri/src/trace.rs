//! `NRI_TRACE=1`: every message between host and plugins, decoded, one line each on stderr, secrets hidden.

use std::sync::Arc;

use nri_runtime::host::Tracer;
use nri_wire::io::{Direction, Part, Trace, Traced};
use nri_wire::service::CALLS;

use crate::json;
use crate::plugins::logger::hide;

/// The tracer that the environment asks for.
pub(crate) fn from_environment() -> Option<Tracer> {
    std::env::var_os("NRI_TRACE").filter(|value| value == "1").map(|_| Tracer(Arc::new(Lines)))
}

struct Lines;

impl Trace for Lines {
    fn message(&self, traced: &Traced<'_>) {
        crate::log::say(format_args!("{}", line(traced)));
    }
}

/// `-> CreateContainer {…}` for what goes to the plugin, `<-` for what comes from it.
fn line(traced: &Traced<'_>) -> String {
    let arrow = match traced.direction {
        Direction::Out => "->",
        Direction::In => "<-",
    };
    let names =
        CALLS.iter().find(|(service, method, ..)| (*service, *method) == (traced.service, traced.method));
    let text = |name: Option<&str>, bytes: &[u8]| match name.and_then(|name| json::decoded(name, bytes)) {
        Some(mut json) => {
            hide::secrets(&mut json);
            json.to_string()
        }
        None => format!("({} bytes that do not decode)", bytes.len()),
    };
    let content = match traced.part {
        Part::Request(bytes) => text(names.map(|(_, _, request, _)| *request), bytes),
        Part::Response(bytes) => format!("= {}", text(names.map(|(_, _, _, response)| *response), bytes)),
        Part::Failure(status) => format!("= failed: {status}"),
    };
    format!("{arrow} {} {content}", traced.method)
}

#[cfg(test)]
mod tests {
    use nri_wire::api::{Container, CreateContainerRequest};
    use nri_wire::service;
    use prost::Message as _;

    use super::*;

    #[test]
    fn lines_are_decoded_and_hide_secrets() {
        let container = Container { env: vec!["TOKEN=secret".into()], id: "c1".into(), ..Default::default() };
        let bytes =
            CreateContainerRequest { container: Some(container), ..Default::default() }.encode_to_vec();
        let mut traced = Traced {
            direction: Direction::Out,
            service: service::PLUGIN,
            method: "CreateContainer",
            part: Part::Request(&bytes),
        };
        assert_eq!(
            line(&traced),
            r#"-> CreateContainer {"container":{"id":"c1","env":["TOKEN=<6 bytes>"]}}"#
        );
        traced.part = Part::Response(&[0xff]);
        assert_eq!(line(&traced), "-> CreateContainer = (1 bytes that do not decode)");
        traced.method = "Newer";
        assert_eq!(line(&traced), "-> Newer = (1 bytes that do not decode)");
    }
}
