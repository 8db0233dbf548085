mod config;
mod embed;
mod index;
mod library;
mod photo;
mod verdict;
