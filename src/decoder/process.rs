//! The pool of decoding processes, as the service sees it.

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use image::RgbImage;
use parking_lot::Mutex;

use super::protocol::{Said, Terms, read_exactly, read_message, write_bytes, write_message};
use super::{CHILD_ARGUMENT, DecoderOptions};
use crate::photo::{Format, Limits, PhotoError, Pixels};
use crate::telemetry;

/// How long a process may take to start.
const START: Duration = Duration::from_secs(10);

/// Attempts to start a process before giving up.
const STARTS: usize = 3;

/// Decoding processes, each idle or used by one request.
pub(super) struct Pool {
    limits: Limits,
    longest: Duration,
    /// Photos per process.
    most: u32,
    program: PathBuf,
    idle: Mutex<Vec<Process>>,
}

impl Pool {
    pub(super) fn new(limits: &Limits, options: &DecoderOptions) -> Self {
        // This path names the running program even after an update has replaced its file.
        let own = || PathBuf::from("/proc/self/exe");
        Self {
            limits: limits.clone(),
            longest: Duration::from_secs(options.max_seconds.max(1)),
            most: options.max_photos.max(1),
            program: options.program.clone().unwrap_or_else(own),
            idle: Mutex::default(),
        }
    }

    /// Decodes a file. A lost process may have been killed for another reason, so a second one tries the file again.
    pub(super) fn pixels(&self, bytes: &[u8], format: Format) -> Result<Pixels, PhotoError> {
        self.ask(bytes, format)
            .or_else(|lost| match lost.kind() {
                io::ErrorKind::TimedOut => Err(lost),
                _ => self.ask(bytes, format),
            })
            .unwrap_or_else(|lost| {
                let reason = match lost.kind() {
                    io::ErrorKind::TimedOut => format!("it took longer than {} s", self.longest.as_secs()),
                    _ => "the decoder crashed or ran out of memory".to_owned(),
                };
                Err(PhotoError::broken(format, reason))
            })
    }

    /// The outer error means that the process was lost while it decoded the file.
    fn ask(&self, bytes: &[u8], format: Format) -> io::Result<Result<Pixels, PhotoError>> {
        let mut process = match self.idle_or_new() {
            Ok(process) => process,
            Err(error) => {
                tracing::error!(%error, "no decoding process could be started");
                return Ok(Err(PhotoError::DecoderUnavailable));
            }
        };
        let answer = process.pixels(bytes, Instant::now() + self.longest, self.limits.max_pixels);
        match answer {
            Ok(answer) => {
                process.photos += 1;
                if process.photos < self.most {
                    self.idle.lock().push(process);
                }
                Ok(answer.map_err(|said| said.error(format)))
            }
            Err(error) => {
                tracing::warn!(format = format.name(), %error, "a decoding process was lost");
                telemetry::decoder_lost();
                Err(if error.kind() == io::ErrorKind::WouldBlock { io::ErrorKind::TimedOut.into() } else { error })
            }
        }
    }

    /// Starts a process. One that ends while starting may have been killed for another reason, so others are tried.
    fn started(&self) -> io::Result<Process> {
        let mut last = io::Error::other("no process was started");
        for _ in 0..STARTS {
            match Process::start(&self.program, &self.limits, self.longest) {
                Ok(process) => return Ok(process),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn idle_or_new(&self) -> io::Result<Process> {
        loop {
            let idle = self.idle.lock().pop();
            let Some(mut process) = idle else {
                return self.started();
            };
            if process.is_alive() {
                return Ok(process);
            }
            telemetry::decoder_lost();
        }
    }
}

struct Process {
    child: Child,
    socket: UnixStream,
    /// Photos decoded so far.
    photos: u32,
}

impl Process {
    fn start(program: &Path, limits: &Limits, longest: Duration) -> io::Result<Self> {
        let (socket, theirs) = UnixStream::pair()?;
        let child = Command::new(program)
            .arg(CHILD_ARGUMENT)
            .env_clear()
            // Ctrl-C is for the service, which first finishes the requests already running.
            .process_group(0)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let process = Self { child, socket, photos: 0 };
        let terms = Terms { limits: limits.clone(), seconds: longest.as_secs() };
        let mut timed = Timed { socket: &process.socket, until: Instant::now() + START };
        write_message(&mut timed, &terms)?;
        let Said::Ready = read_message(&mut timed)? else {
            return Err(io::Error::other("the program is not a decoding process"));
        };
        Ok(process)
    }

    fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// The outer error is about the process, the inner one about the file.
    fn pixels(&mut self, bytes: &[u8], until: Instant, most: u64) -> io::Result<Result<Pixels, Said>> {
        let mut timed = Timed { socket: &self.socket, until };
        write_bytes(&mut timed, bytes)?;
        match read_message(&mut timed)? {
            Said::Photo { width, height, frames, more_frames, damaged, on_black, invisible_on_white } => {
                let wrong = || io::Error::other("the process reported a photo larger than any limit");
                let pixels = u64::from(width) * u64::from(height);
                let size = usize::try_from(pixels * 3).ok().filter(|_| pixels <= most).ok_or_else(wrong)?;
                let mut picture =
                    || RgbImage::from_raw(width, height, read_exactly(&mut timed, size)?).ok_or_else(wrong);
                let rgb = picture()?;
                let on_black = if on_black { Some(picture()?) } else { None };
                Ok(Ok(Pixels { rgb, frames, more_frames, damaged, on_black, invisible_on_white }))
            }
            said => Ok(Err(said)),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A socket with a deadline for the whole exchange, however slowly the bytes arrive.
struct Timed<'a> {
    socket: &'a UnixStream,
    until: Instant,
}

impl Timed<'_> {
    fn left(&self) -> io::Result<Duration> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

impl Read for Timed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(Some(self.left()?))?;
        self.socket.read(buffer)
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(Some(self.left()?))?;
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Said {
    fn error(self, format: Format) -> PhotoError {
        match self {
            Self::TooManyPixels { width, height, limit } => PhotoError::TooManyPixels { width, height, limit },
            Self::Broken(reason) => PhotoError::broken(format, reason),
            Self::Ready | Self::Photo { .. } => PhotoError::DecoderUnavailable,
        }
    }
}
