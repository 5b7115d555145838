-- From 0.3.0: no object of the extension has changed, only the library.

\echo Use "ALTER EXTENSION partition_registry UPDATE TO '0.9.0'" to load this file. \quit
