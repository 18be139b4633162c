-- Run once, after 10-roles.sh. The password in the Secret is from here on that of rollup, who owns the database. The superuser
-- has none, so nobody comes in as postgres by the network: kubectl exec … psql --username=postgres does, by the socket.
ALTER ROLE postgres PASSWORD NULL;
