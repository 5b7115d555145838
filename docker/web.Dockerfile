# The HTTP gateway.
FROM python:3.12-slim-bookworm
COPY clients/python /src/python
COPY clients/http /src/http
RUN pip install --no-cache-dir /src/python /src/http 'psycopg[binary]' && rm -r /src
# Nobody whom the database's container knows: it lets its own postgres in.
USER 5498
EXPOSE 5498
CMD ["partreg-http"]
