//! The control loop: the only writer of the fleet.
