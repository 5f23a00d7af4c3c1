{{ config(materialized='view') }}
select id, customer, amount, cast(placed_at as date) as day from {{ ref('orders') }}
