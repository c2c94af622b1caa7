//! The floor: the same byte counts back and forth over a socket, blocking, with nothing in between.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};

use crate::Failure;
use crate::round::rounds;

pub(crate) fn drive(socket: &str) -> Result<(), Failure> {
    let listener = UnixListener::bind(socket)?;
    println!(r#"{{"event":"listening"}}"#);
    let (mut stream, _) = listener.accept()?;
    rounds(|round| {
        let mut head = Vec::new();
        for number in [round.request_bytes, round.response_bytes, round.warm + round.calls] {
            head.extend(u64::try_from(number)?.to_be_bytes());
        }
        stream.write_all(&head)?;
        let (request, mut response) = (vec![1; round.request_bytes], vec![0; round.response_bytes]);
        round.measure(|| {
            stream.write_all(&request)?;
            stream.read_exact(&mut response)?;
            Ok(())
        })
    })
}

pub(crate) fn serve(socket: &str) -> Result<(), Failure> {
    let mut stream = UnixStream::connect(socket)?;
    let mut next = || -> std::io::Result<[u64; 3]> {
        let mut numbers = [0; 3];
        for number in &mut numbers {
            let mut bytes = [0; 8];
            stream.read_exact(&mut bytes)?;
            *number = u64::from_be_bytes(bytes);
        }
        let [request, response, calls] = numbers;
        let mut request = vec![0; usize::try_from(request).unwrap_or(0)];
        let response = vec![1; usize::try_from(response).unwrap_or(0)];
        for _ in 0..calls {
            stream.read_exact(&mut request)?;
            stream.write_all(&response)?;
        }
        Ok(numbers)
    };
    while next().is_ok() {}
    Ok(())
}
