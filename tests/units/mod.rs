mod config;
mod embed;
mod index;
mod photo;
mod verdict;
