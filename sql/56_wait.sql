-- Waiting (src/wait.c).  The procedure has neither SECURITY DEFINER nor SET: with
-- either, it could not end its transaction, and so would keep its snapshot.

CREATE PROCEDURE partreg.wait_until_ready(source_name text, during tstzrange, timeout interval, poll interval DEFAULT '1s')
    LANGUAGE c
    AS 'MODULE_PATHNAME';
COMMENT ON PROCEDURE partreg.wait_until_ready(text, tstzrange, interval, interval) IS
    'ends when the range is ready, asking once a poll; 55P03 when the timeout is over, 55000 when a failed partition is in the way';
