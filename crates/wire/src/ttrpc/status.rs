//! Statuses: how a call failed, in gRPC's numbering (`spec/wire.md` 3.4).

use std::fmt;

/// Longest text of a status that is sent, bytes. An error text is for people; a longer one is cut.
const TEXT_MAX: usize = 16 << 10;

/// The answer to a call that failed at the peer: it was received, and refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// What kind of failure.
    pub code: Code,
    /// What happened, for people.
    pub message: String,
}

impl Status {
    /// A status with a text.
    ///
    /// ```
    /// use nri_wire::ttrpc::{Code, Status};
    /// let status = Status::new(Code::NotFound, "no such container");
    /// assert_eq!(status.to_string(), "no such container (NotFound)");
    /// ```
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The answer to a call of a service that is not served here, in the reference's words.
    #[must_use]
    pub fn no_service(service: &str) -> Self {
        Self::new(Code::Unimplemented, format!("service {service}"))
    }

    /// The answer to a call of a method that the service does not have, in the reference's words.
    #[must_use]
    pub fn no_method(method: &str) -> Self {
        Self::new(Code::Unimplemented, format!("method {method}"))
    }

    /// Whether this is how a peer says that it does not know the method (`method X`), as opposed to a
    /// handler that returned Unimplemented for a reason of its own (quirk C13).
    #[must_use]
    pub fn is_unknown_method(&self) -> bool {
        self.code == Code::Unimplemented && self.message.starts_with("method ")
    }

    /// The answer to a message that is longer than `max`, in the reference's words.
    #[must_use]
    pub fn too_long(len: usize, max: usize) -> Self {
        Self::new(
            Code::ResourceExhausted,
            format!("message length {len} exceed maximum message size of {max}"),
        )
    }

    /// The text, cut at a character so that it fits into any message.
    pub(crate) fn text(&self) -> &str {
        self.message.get(..self.message.floor_char_boundary(TEXT_MAX)).unwrap_or_default()
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:?})", self.message, self.code)
    }
}

impl std::error::Error for Status {}

macro_rules! codes {
    ($($code:ident = $number:literal, $doc:literal;)*) => {
        /// Kinds of failure.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Code {
            $(#[doc = $doc] $code = $number,)*
        }

        impl Code {
            /// The code with this number; `Unknown` for numbers that gRPC does not define.
            #[must_use]
            pub const fn from_number(number: i32) -> Self {
                match number {
                    $($number => Self::$code,)*
                    _ => Self::Unknown,
                }
            }

            /// The number on the wire.
            #[must_use]
            pub const fn number(self) -> i32 {
                self as i32
            }
        }
    };
}

codes! {
    Ok = 0, "No failure. A status with this code counts as success.";
    Canceled = 1, "The caller gave up.";
    Unknown = 2, "An ordinary error of a handler.";
    InvalidArgument = 3, "The call breaks the rules of the protocol.";
    DeadlineExceeded = 4, "The handler ran out of time.";
    NotFound = 5, "Something named in the call does not exist.";
    AlreadyExists = 6, "Something named in the call exists already.";
    PermissionDenied = 7, "The caller may not do this.";
    ResourceExhausted = 8, "A message is too long, or too much is in flight.";
    FailedPrecondition = 9, "Not in this state.";
    Aborted = 10, "Given up on, for instance after a conflict.";
    OutOfRange = 11, "Beyond the end.";
    Unimplemented = 12, "The service or method is not known here.";
    Internal = 13, "A payload could not be encoded or decoded, or a handler broke.";
    Unavailable = 14, "Not available now.";
    DataLoss = 15, "Data was lost.";
    Unauthenticated = 16, "The caller is not known.";
}
