//! The sidecar as clients meet it: over its router, over real sockets, and by a real Prometheus.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a failure here is a failed test")]

mod hostile;
mod prometheus;
mod router;
mod sockets;
mod support;
