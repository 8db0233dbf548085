mod checks;
mod crash;
mod errors;
mod lookups;
mod models;
mod policies;
mod references;
mod system;
