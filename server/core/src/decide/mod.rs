//! What follows from the fleet as it is.

pub mod lifecycle;
