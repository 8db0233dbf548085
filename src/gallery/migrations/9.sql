-- The visual words of photos' keypoints: eight bytes each.
CREATE TABLE words (
    sha256     BLOB NOT NULL,
    vocabulary TEXT NOT NULL,
    words      BLOB NOT NULL,
    PRIMARY KEY (sha256, vocabulary)
) STRICT, WITHOUT ROWID;
