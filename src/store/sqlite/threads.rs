//! The threads that speak to SQLite, whose calls block: on the disk, and on the locks of other processes. No thread of
//! the control plane does.
//!
//! A call is handed over once, with all its statements, and answered once. Reads see what was committed before they
//! began.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::Builder;

use super::connection::{FileConnection, Purpose};
use super::job::Job;
use super::queue::Queue;
use super::writer;

/// Reads are short and rarely wait; these serve thousands of them a second.
pub(super) const READERS: usize = 4;
/// So many calls may wait. Some thousand fit into the time that a call may take.
pub(super) const WAITING: usize = 4_096;

/// Where the jobs of one purpose wait.
pub(super) type Jobs = Arc<Queue<Box<dyn Job>>>;

/// They end when this is dropped, and answer before that who waits.
pub(super) struct Threads {
    pub(super) reads: Jobs,
    pub(super) writes: Jobs,
}

impl Threads {
    /// Starts them. Each connects when it has something to do.
    pub(super) fn start(file: &Path) -> io::Result<Self> {
        // Made first, so that threads that were started end if another can't be.
        let threads = Self { reads: Arc::new(Queue::new(WAITING)), writes: Arc::new(Queue::new(WAITING)) };
        let (connection, jobs) = (FileConnection::new(file, Purpose::Writing), Arc::clone(&threads.writes));
        Builder::new().name("sqlite-writer".to_owned()).spawn(move || writer::write(connection, &jobs))?;
        for _ in 0..READERS {
            let (connection, jobs) =
                (FileConnection::new(file, Purpose::Reading), Arc::clone(&threads.reads));
            Builder::new().name("sqlite-reader".to_owned()).spawn(move || read(connection, &jobs))?;
        }
        Ok(threads)
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.reads.close();
        self.writes.close();
    }
}

/// Does one job after another, so that others may do the next meanwhile.
fn read(mut connection: FileConnection, jobs: &Queue<Box<dyn Job>>) {
    let mut next = Vec::with_capacity(1);
    while jobs.take(&mut next, 1) {
        for mut job in next.drain(..).filter(|job| job.is_wanted()) {
            let done = connection.current().and_then(|connection| job.run(connection));
            job.answer(done.as_ref().err());
        }
    }
}
