-- What a gateway needs in its database, once, as a superuser:
--
--   psql -d DATABASE -v ON_ERROR_STOP=1 -f setup.sql
--
-- gateway: the login of the gateway, which registers sources and providers.  Give
-- it a password where it comes by TCP.
-- reader: for people and dashboards, Adminer for one.  They see the views.
CREATE EXTENSION partition_registry CASCADE;
CREATE ROLE gateway LOGIN;
CREATE ROLE reader LOGIN;
SELECT partreg.grant_privileges('gateway', 'admin');
SELECT partreg.grant_privileges('reader', 'reader');
