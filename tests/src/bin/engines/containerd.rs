//! containerd, as the tests start it.

use std::path::{Path, PathBuf};

use nri_tests::cri::Cri;
use nri_tests::engine::{Containerd, IMAGE, Line};

use crate::probe::Ran;
use crate::{Engine, Failure, pod};

struct Stock {
    engine: Containerd,
    folder: PathBuf,
}

pub(crate) fn start(line: Line) -> Result<Box<dyn Engine>, Failure> {
    let engine = Containerd::with(&line.into())?;
    let folder = engine.cri_socket().parent().map(PathBuf::from).unwrap_or_default();
    Ok(Box::new(Stock { engine, folder }))
}

impl Engine for Stock {
    fn nri_socket(&self) -> PathBuf {
        self.engine.nri_socket()
    }

    fn folder(&self) -> &Path {
        &self.folder
    }

    fn run(&mut self, look: &mut dyn FnMut(&str) -> Result<Ran, Failure>) -> Result<Ran, Failure> {
        pod::live(&mut Cri::connect(&self.engine.cri_socket())?, IMAGE, look)
    }

    fn log(&self) -> String {
        self.engine.log()
    }
}
