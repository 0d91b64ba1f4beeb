//! Image references: a tag becomes a digest when a plan is made.
