{{ config(materialized='table', table_type='PRIMARY', keys=['customer'], distributed_by=['customer'], buckets=2) }}
select customer, count(*) as orders, sum(amount) as amount from {{ ref('orders_view') }} group by customer
