//! The vocabulary of Muster.
